"""Crops and targets computed on the training device from complete images in its memory.

A GPU trains faster than processes can crop images, augment them and compute targets. Therefore the
targets of each image are computed once, as maps of the whole image, and are sampled through the
same view as its pixels; vectors are rotated with it. Cells that a crop cuts keep their centre in
the image, as in Cellpose.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from bigkingxxl.decoding.base import Channel
from bigkingxxl.errors import SettingsError
from bigkingxxl.methods.base import Batch, DenseMethod, Method
from bigkingxxl.training.crops import CropDataset, MixedCrops
from bigkingxxl.training.teacher import Teacher
from bigkingxxl.training.views import Views
from bigkingxxl.training.whole_images import WholeImage, whole_images

BLUR_RADIUS = 4  # pixels, beyond which a blur of 1 pixel has no effect
HALO_RADIUS = 30  # pixels: the radius of the widest mean in `bigkingxxl.data.intensity`


class DeviceImages:
    """A pool of complete images on one device, sampled through `Views`.

    Args:
        images: Images of any size.
        channels: The channels of the maps.
        image_channels: The number of image channels C.
        size: The side of the crops.
    """

    def __init__(
        self, images: Sequence[WholeImage], channels: Sequence[Channel], image_channels: int,
        size: int,
    ) -> None:  # fmt: skip
        self.viewed = [each.viewed for each in images]
        self.image_channels, self.size = image_channels, size
        kinds = [channel.kind for channel in channels]
        self.rows = [image_channels + i for i, kind in enumerate(kinds) if kind == "row"]
        self.columns = [image_channels + i for i, kind in enumerate(kinds) if kind == "column"]
        self.lengths = [image_channels + i for i, kind in enumerate(kinds) if kind == "log_length"]
        self.shape = torch.tensor([each.viewed.shape for each in images])
        counts = self.shape.prod(dim=1)
        self.start = counts.cumsum(0) - counts
        self.pixels = torch.cat([each.pixels.flatten(0, 1) for each in images])
        self.labels = torch.cat([each.labels.flatten() for each in images])

    @classmethod
    def of(
        cls,
        crops: CropDataset | MixedCrops,
        teacher: Teacher | None = None,
        unlabelled: Sequence[Path] = (),
    ) -> DeviceImages:
        """Load the images of a run's crops.

        Args:
            crops: The crops.
            teacher: Adds to the targets of annotated images.
            unlabelled: Images whose targets are those of the teacher.

        Raises:
            SettingsError: The targets of the method cannot be sampled through a view.
        """
        method, recipe = crops.method, crops.recipe
        channels = warped_channels(method)
        images = list(whole_images(crops, teacher, unlabelled))
        taken = images[0].pixels.shape[-1] - len(channels)
        return cls(images, channels, taken, recipe.augment.size)

    def to(self, device: torch.device) -> None:
        """Move the images to a device."""
        for name in ("shape", "start", "pixels", "labels"):
            setattr(self, name, getattr(self, name).to(device))

    @torch.no_grad()
    def batch(self, views: Views) -> Batch:
        """Compute crops and targets, float32, on the device of the views."""
        if self.pixels.device != views.place.device:
            self.to(views.place.device)
        seen = self._seen(views).movedim(-1, 1)
        images = with_changed_intensities(seen[:, : self.image_channels], views.light, views.seed)
        return Batch(images, seen[:, self.image_channels :].contiguous())

    def _seen(self, views: Views) -> Tensor:
        """Sample pixels bilinearly, and maps from the strongest label: float32[B, h, w, C + K].

        As in `Affine.warp_labels`, every label is a soft mask, and the strongest one wins.
        """
        here = torch.arange(self.size, device=views.place.device, dtype=torch.float32)
        at = [
            views.offset[:, axis, None, None]
            + views.matrix[:, axis, 0, None, None] * here[:, None]
            + views.matrix[:, axis, 1, None, None] * here
            for axis in (0, 1)
        ]
        low = [each.floor() for each in at]
        part = [each - below for each, below in zip(at, low, strict=True)]
        shape, start = self.shape[views.place], self.start[views.place]
        outside = [
            (each < 0) | (each > shape[:, axis, None, None] - 1) for axis, each in enumerate(at)
        ]
        sides = [
            [mirrored(low[axis].long() + step, shape[:, axis, None, None]) for step in (0, 1)]
            for axis in (0, 1)
        ]
        places, weights = [], []
        for i, row in enumerate(sides[0]):
            for j, column in enumerate(sides[1]):
                places.append(start[:, None, None] + row * shape[:, 1, None, None] + column)
                weights.append(abs(1 - i - part[0]) * abs(1 - j - part[1]))
        seen, labels = self._blended(places, weights)
        return self._turned(seen, labels > 0, outside, views.matrix)

    def _blended(
        self, places: Sequence[Tensor], weights: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor]:
        labels = torch.stack([self.labels[place] for place in places])
        weight = torch.stack(list(weights))
        support = torch.stack([(weight * (labels == each)).sum(dim=0) for each in labels])
        winner = labels.gather(0, support.argmax(dim=0, keepdim=True))
        of_winner = weight * (labels == winner)
        of_winner /= of_winner.sum(dim=0)
        taken, layers = self.image_channels, self.pixels.shape[-1]
        total = torch.zeros((*winner.shape[1:], layers), device=winner.device)
        for place, plain, own in zip(places, weight, of_winner, strict=True):
            found = self.pixels[place].float()
            found[..., :taken] *= plain[..., None]
            found[..., taken:] *= own[..., None]
            total += found
        return total, winner[0]

    def _turned(
        self, seen: Tensor, annotated: Tensor, outside: Sequence[Tensor], matrix: Tensor
    ) -> Tensor:
        """Transform vectors to the frame of the crop; `outside` marks where the image is mirrored.

        The gradient of u(matrix @ x) is the transposed matrix times the gradient of u. In annotated
        cells vectors have length 1, elsewhere the length that a teacher predicted.
        """
        mirror = torch.stack([1 - 2 * each.float() for each in outside], dim=-1)
        for row, column in zip(self.rows, self.columns, strict=True):
            old = seen[..., [row, column]] * mirror
            new = torch.einsum("bhwi,bij->bhwj", old, matrix)
            length = torch.where(annotated, 1.0, old.norm(dim=-1))[..., None]
            seen[..., [row, column]] = length * functional.normalize(new, dim=-1, eps=1e-3)
        if self.lengths:
            # The matrix maps crop pixels to image pixels; its determinant is the area of a crop
            # pixel.
            seen[..., self.lengths] -= (
                torch.linalg.det(matrix).abs().log2()[:, None, None, None] / 2
            )
        return seen


def mirrored(index: Tensor, length: Tensor) -> Tensor:
    """Reflect indices at the first and last pixel into 0 .. length - 1."""
    period = (2 * (length - 1)).clamp(min=1)
    index = index.abs() % period
    return torch.minimum(index, period - index)


def warped_channels(method: Method) -> tuple[Channel, ...]:
    """Return the channels of a method whose targets can be sampled through a view.

    Raises:
        SettingsError: They cannot.
    """
    if isinstance(method, DenseMethod) and method.representation.warps:
        return method.representation.channels
    raise SettingsError(
        f"training.feed is 'device', but targets of the method '{method.name}' with these settings "
        "are made crop by crop, expected 'processes' or the representation 'flows'",
        key="training.feed",
        found="device",
        expected=("processes", "flows"),
    )


def with_changed_intensities(images: Tensor, light: Mapping[str, Tensor], seed: int) -> Tensor:
    """Change the intensities of each image, float32[B, C, h, w].

    Args:
        images: float32[B, C, h, w].
        light: float32[B] by the names of `IntensityChange`'s attributes.
        seed: The seed of the noise.
    """
    each = {name: values[:, None, None, None] for name, values in light.items()}
    images = torch.where(each["invert"] > 0, -images, images)
    images = images.sign() * images.abs() ** each["exponent"]
    if bool((light["halo"] != 0).any()):
        around = blurred(images, light["halo_width"], HALO_RADIUS)
        images = images + each["halo"] * (images - around)
    images = blurred(images, light["blur"])
    images = images * each["contrast"] + each["brightness"] + _background(images, each)
    generator = torch.Generator(images.device).manual_seed(seed)
    grain = torch.randn(images.shape, generator=generator, device=images.device)
    return images + each["noise"] * grain


def _background(images: Tensor, each: Mapping[str, Tensor]) -> Tensor:
    """Return the uneven background, float32[B, 1, h, w]; see `IntensityChange.background`."""
    row = torch.linspace(-1, 1, images.shape[2], device=images.device)[:, None]
    column = torch.linspace(-1, 1, images.shape[3], device=images.device)
    plane = each["slope_row"] * row + each["slope_col"] * column
    return plane + each["bowl"] * (row**2 + column**2 - 2 / 3)


def blurred(images: Tensor, sigma: Tensor, radius: int = BLUR_RADIUS) -> Tensor:
    """Blur float32[B, C, h, w] with Gaussians of different widths; 0 changes nothing."""
    count, channels, height, width = images.shape
    distance = torch.arange(-radius, radius + 1, device=images.device)
    kernel = torch.exp(-0.5 * (distance / sigma.clamp(min=1e-3)[:, None]) ** 2)
    kernel = (kernel / kernel.sum(dim=1, keepdim=True)).repeat_interleave(channels, dim=0)
    layers = images.reshape(1, count * channels, height, width)
    padded = functional.pad(layers, (radius,) * 4, mode="reflect")
    rows = functional.conv2d(padded, kernel[:, None, :, None], groups=count * channels)
    both = functional.conv2d(rows, kernel[:, None, None, :], groups=count * channels)
    return both.reshape(images.shape)

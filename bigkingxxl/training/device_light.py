"""`Light.apply` for a batch on its device."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

BLUR_RADIUS = 4  # pixels: beyond it a blur of 1 pixel has nothing left
HALO_RADIUS = 30  # pixels: as far as the widest mean reaches in `bigkingxxl.data.light`


def in_light(images: Tensor, light: Mapping[str, Tensor], seed: int) -> Tensor:
    """float32[B, C, h, w], each image in its own light.

    Args:
        light: float32[B] by the names of `Light`'s attributes.
        seed: of the noise.
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
    """float32[B, 1, h, w]: the uneven part of the background; see `Light.background`."""
    row = torch.linspace(-1, 1, images.shape[2], device=images.device)[:, None]
    column = torch.linspace(-1, 1, images.shape[3], device=images.device)
    plane = each["slope_row"] * row + each["slope_col"] * column
    return plane + each["bowl"] * (row**2 + column**2 - 2 / 3)


def blurred(images: Tensor, sigma: Tensor, radius: int = BLUR_RADIUS) -> Tensor:
    """float32[B, C, h, w] blurred by a Gaussian of an own width each; 0 leaves as it is."""
    count, channels, height, width = images.shape
    distance = torch.arange(-radius, radius + 1, device=images.device)
    kernel = torch.exp(-0.5 * (distance / sigma.clamp(min=1e-3)[:, None]) ** 2)
    kernel = (kernel / kernel.sum(dim=1, keepdim=True)).repeat_interleave(channels, dim=0)
    layers = images.reshape(1, count * channels, height, width)
    padded = functional.pad(layers, (radius,) * 4, mode="reflect")
    rows = functional.conv2d(padded, kernel[:, None, :, None], groups=count * channels)
    both = functional.conv2d(rows, kernel[:, None, None, :], groups=count * channels)
    return both.reshape(images.shape)

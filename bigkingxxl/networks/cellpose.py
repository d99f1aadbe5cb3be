"""The networks of the installed version of the cellpose library, with a common interface.

Versions 3.1 have a residual U-Net with a style vector (Stringer et al. 2021), and versions 4 the
image encoder of SAM with a linear readout (Pachitariu et al. 2025). Both output, at each pixel, the
row and column component of five times the flow and the logit of the foreground.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from bigkingxxl.errors import MissingExtraError
from bigkingxxl.extras import install

Kind = Literal["unet", "sam"]
CHANNELS: dict[Kind, int] = {"unet": 2, "sam": 3}
# the major version of the library that has the network
LINES: dict[Kind, int] = {"unet": 3, "sam": 4}
HOW: dict[Kind, str] = {
    "unet": install("cellpose"),
    "sam": install("cellpose-sam"),
}
WIDTHS = (32, 64, 128, 256)
STYLE = 256
FLOW_SCALE = 5.0  # the library multiplies flows by it
# Cell sizes that the library stores among the weights; here the model card holds them.
DIAMETERS = ("diam_mean", "diam_labels")


class CellposeNetwork(nn.Module):
    """A network of the library with the input and output of all dense methods.

    Its weights keep the names of the library with the prefix 'library.'. The library has no cell
    types; they are predicted from the style vector, so that all pixels of a tile have the same
    type.

    Args:
        kind: 'unet' (3.1) or 'sam' (4.x).
        types: The number of cell types.

    Raises:
        MissingExtraError: The library is not installed, or its version does not have the network.
    """

    def __init__(self, kind: Kind, types: int) -> None:
        super().__init__()
        self.channels = CHANNELS[kind]
        self.library = library_network(kind)
        self.types = nn.Linear(STYLE, types) if types > 1 else None
        if self.types is not None:
            # Before training all types are equally likely.
            nn.init.zeros_(self.types.weight)
            nn.init.zeros_(self.types.bias)

    def forward(self, image: Tensor) -> Tensor:
        """Compute the logits of `Flows`, float[B, 3 + T, h, w]; T = 0 for a single type.

        Args:
            image: float[B, C, h, w], where the distance between the percentiles is 2, as in
                `Normalisation`.
        """
        output, style = self.library(library_image(image, self.channels))[:2]
        maps = [output[:, 2:3], output[:, :2] / FLOW_SCALE]
        if self.types is not None:
            votes: Tensor = self.types(style)[..., None, None]
            maps.append(votes.expand(-1, -1, *output.shape[2:]))
        return torch.cat(maps, dim=1)


class MeanStyle(nn.Module):
    """The style vector of the library, which can be exported for images of any size."""

    def forward(self, features: Tensor) -> Tensor:
        """Compute a unit vector float[B, F] of features float[B, F, h, w]."""
        style = features.float().mean(dim=(2, 3))
        length = style.square().sum(dim=1, keepdim=True).sqrt().clamp(min=1e-12)
        return (style / length).to(features.dtype)


def library_image(image: Tensor, channels: int) -> Tensor:
    """Convert images to the library's form, float[B, channels, h, w]: 1 between the percentiles.

    Missing channels are 0; surplus channels are averaged.
    """
    image = image / 2
    if image.shape[1] > channels:
        image = image.mean(dim=1, keepdim=True)
    return functional.pad(image, (0, 0, 0, 0, 0, channels - image.shape[1]))


def library_version() -> str | None:
    """Return the version of the installed cellpose library, or None."""
    try:
        return version("cellpose")
    except PackageNotFoundError:
        return None


def library_network(kind: Kind) -> nn.Module:
    """Create the untrained network of the library, without the cell sizes among its weights.

    Raises:
        MissingExtraError: The library is not installed, or its version does not have the network.
    """
    found = library_version()
    if found is None:
        raise MissingExtraError(
            f"Cellpose needs the library cellpose: {HOW[kind]}", key="cellpose", expected=kind
        )
    if int(found.partition(".")[0]) != LINES[kind]:
        what = {"unet": "has no U-Net and only predicts", "sam": "has no Cellpose-SAM"}[kind]
        raise MissingExtraError(
            f"cellpose {found} is installed, which {what}: {HOW[kind]}",
            key="cellpose",
            found=found,
            expected=kind,
        )
    network = _sam() if kind == "sam" else _unet()
    for name in DIAMETERS:
        delattr(network, name)
    return network


def _unet() -> nn.Module:
    from cellpose.resnet_torch import CPnet

    network: nn.Module = CPnet([CHANNELS["unet"], *WIDTHS], nout=3, sz=3)
    network.make_style = MeanStyle()
    return network


def _sam() -> nn.Module:
    from importlib import import_module

    try:
        kind = import_module("cellpose.vit").CPSAM
    except ImportError:  # its name in the first releases of version 4
        kind = import_module("cellpose.vit_sam").Transformer
    network: nn.Module = kind(dtype=torch.float32)
    return network

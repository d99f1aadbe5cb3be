"""Cellpose's own networks, of the line of the library that is installed, behind one face.

The 3.1 line has a residual U-Net with a style vector (Stringer et al. 2021), the 4.x line the image
encoder of SAM with a linear readout (Pachitariu et al. 2025). Both give, at each pixel, the row and
the column component of five times the flow and the foreground's logit.
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
LINES: dict[Kind, int] = {"unet": 3, "sam": 4}  # of the library, that have the network
HOW: dict[Kind, str] = {
    "unet": install("cellpose"),
    "sam": install("cellpose-sam"),
}
WIDTHS = (32, 64, 128, 256)
STYLE = 256
FLOW_SCALE = 5.0  # the library learns flows times this
# Sizes of cells that the library keeps among the weights; here the model's card says them.
DIAMETERS = ("diam_mean", "diam_labels")


class CellposeNetwork(nn.Module):
    """A network of the library that takes images and gives maps as all dense methods do.

    Its weights keep the library's names, after 'library.'. Cell types, of which the library knows
    nothing, are read off the style vector, so that all pixels of a tile share one vote.

    Args:
        kind: 'unet' (3.1) or 'sam' (4.x); types: how many cell types are told apart.
    Raises:
        MissingExtraError: the library is not installed, or is of the other line.
    """

    def __init__(self, kind: Kind, types: int) -> None:
        super().__init__()
        self.channels = CHANNELS[kind]
        self.library = library_network(kind)
        self.types = nn.Linear(STYLE, types) if types > 1 else None
        if self.types is not None:
            # No type is preferred by what has not learnt any.
            nn.init.zeros_(self.types.weight)
            nn.init.zeros_(self.types.bias)

    def forward(self, image: Tensor) -> Tensor:
        """float[B, 3 + T, h, w] logits of `Flows` from float[B, C, h, w]; T = 0 for one type.

        Args:
            image: 2 from its low to its high percentile, as `Normalisation` gives it.
        """
        output, style = self.library(library_image(image, self.channels))[:2]
        maps = [output[:, 2:3], output[:, :2] / FLOW_SCALE]
        if self.types is not None:
            votes: Tensor = self.types(style)[..., None, None]
            maps.append(votes.expand(-1, -1, *output.shape[2:]))
        return torch.cat(maps, dim=1)


class MeanStyle(nn.Module):
    """The library's style vector; in an exported graph, too, of images of any size."""

    def forward(self, features: Tensor) -> Tensor:
        """float[B, F], of length 1, from float[B, F, h, w]."""
        style = features.float().mean(dim=(2, 3))
        length = style.square().sum(dim=1, keepdim=True).sqrt().clamp(min=1e-12)
        return (style / length).to(features.dtype)


def library_image(image: Tensor, channels: int) -> Tensor:
    """float[B, channels, h, w] as the library has images: 1 between percentiles, the rest blank.

    Of more channels than the network takes the mean is seen.
    """
    image = image / 2
    if image.shape[1] > channels:
        image = image.mean(dim=1, keepdim=True)
    return functional.pad(image, (0, 0, 0, 0, 0, channels - image.shape[1]))


def library_version() -> str | None:
    """Of the cellpose that is installed, or None."""
    try:
        return version("cellpose")
    except PackageNotFoundError:
        return None


def library_network(kind: Kind) -> nn.Module:
    """The library's own network, untrained, without the sizes of cells among its weights.

    Raises:
        MissingExtraError: the library is not installed, or is of the other line.
    """
    found = library_version()
    if found is None:
        raise MissingExtraError(f"Cellpose needs the library cellpose: {HOW[kind]}")
    if int(found.partition(".")[0]) != LINES[kind]:
        what = {"unet": "has no U-Net and only predicts", "sam": "has no Cellpose-SAM"}[kind]
        raise MissingExtraError(f"cellpose {found} is installed, which {what}: {HOW[kind]}")
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
    except ImportError:  # as the first releases of 4 name it
        kind = import_module("cellpose.vit_sam").Transformer
    network: nn.Module = kind(dtype=torch.float32)
    return network

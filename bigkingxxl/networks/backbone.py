"""Feature pyramids over timm networks, for detectors."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Literal

import timm
from timm.layers import BatchNormAct2d, GroupNormAct, freeze_batch_norm_2d
from torch import Tensor, nn
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from bigkingxxl.errors import SettingsError
from bigkingxxl.networks.encoders import depthwise_in_float32
from bigkingxxl.networks.replace_layers import replace_layers
from bigkingxxl.networks.roi_heads import HeadNorm, norm_layer

GROUPS = 32

Norm = Literal["batch", "frozen", "group"]


class PyramidBackbone(nn.Module):
    """A feature pyramid over four feature maps of timm, plus a fifth level (Lin et al. 2017).

    Args:
        name: The name of a timm network that supports `features_only`.
        image_channels: The number of channels C of the images.
        channels: The channels of every level.
        norm: 'frozen' keeps batch norms as they are and 'group' replaces them; both suit small
            batches.
        stem_stride: 1 removes the stride of the first convolution: twice the resolution at each
            level, at four times the cost.
        pyramid_norm: The normalisation of the pyramid's own convolutions.

    Raises:
        SettingsError: timm has no such network, or it is not suitable.
    """

    def __init__(
        self, name: str, image_channels: int, channels: int, norm: Norm,
        stem_stride: Literal[1, 2], pyramid_norm: HeadNorm = "none",
    ) -> None:  # fmt: skip
        super().__init__()
        self.body = features(name, image_channels)
        if stem_stride == 1:
            remove_stem_stride(self.body, name)
        self.body = with_norm(self.body, norm)
        depthwise_in_float32(self.body)
        self.widths: list[int] = self.body.feature_info.channels()  # type: ignore[union-attr, operator]
        self.fpn = FeaturePyramidNetwork(
            self.widths, channels, LastLevelMaxPool(), norm_layer(pyramid_norm)
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        """Compute five levels float32[B, channels, h, w], finest first, of float[B, C, H, W]."""
        found = self.body(images)
        maps = [
            _channels_second(each, width) for each, width in zip(found, self.widths, strict=True)
        ]
        named = OrderedDict((str(level), each) for level, each in enumerate(maps))
        # RoI pooling compares coordinates at a finer resolution than bfloat16, and copies
        # channels-last features completely for each batch of regions.
        return [each.float().contiguous() for each in self.fpn(named).values()]


def features(name: str, image_channels: int) -> nn.Module:
    """Create an untrained timm network with features at strides 4, 8, 16 and 32."""
    if not timm.is_model(name):
        raise SettingsError(
            f"there is no backbone '{name}': timm has no network of that name",
            key="backbone",
            found=name,
        )
    try:
        network: nn.Module = timm.create_model(
            name, out_indices=(-4, -3, -2, -1), **feature_options(name, image_channels)
        )
    except (AssertionError, IndexError) as error:  # raised by timm if an index is too large
        raise SettingsError(
            f"the backbone '{name}' has fewer than four strides, expected 4, 8, 16, 32",
            key="backbone",
            found=name,
        ) from error
    strides = network.feature_info.reduction()  # type: ignore[operator, union-attr]
    if strides != [4, 8, 16, 32]:
        raise SettingsError(
            f"the backbone '{name}' has strides {strides}, expected 4, 8, 16, 32",
            key="backbone",
            found=strides,
            expected=(4, 8, 16, 32),
        )
    return network


def feature_options(name: str, image_channels: int) -> dict[str, Any]:
    """Return timm's arguments for a feature network that accepts images of any size."""
    options: dict[str, Any] = {"features_only": True, "in_chans": image_channels}
    return {**options, "strict_img_size": False} if name.startswith("swin") else options


def remove_stem_stride(network: nn.Module, name: str) -> None:
    """Make the first convolution keep the resolution of the image.

    Raises:
        SettingsError: The first convolution reduces it by more than a factor of two
            (Swin, ConvNeXt).
    """
    first = next(layer for layer in network.modules() if isinstance(layer, nn.Conv2d))
    if first.stride != (2, 2):
        raise SettingsError(
            f"the stem stride of the backbone '{name}' is {first.stride[0]}, expected 2: "
            "it cannot be removed; enlarge the images instead (prediction.scale)",
            key="backbone",
            found=first.stride[0],
            expected=2,
        )
    first.stride = (1, 1)


def with_norm(network: nn.Module, norm: Norm) -> nn.Module:
    """Return the network with its batch norms unchanged, frozen, or replaced by group norms."""
    if norm == "frozen":
        frozen: nn.Module = freeze_batch_norm_2d(network)
        return frozen
    if norm == "group":
        replace_layers(
            network, lambda each: _group_norm(each) if isinstance(each, nn.BatchNorm2d) else None
        )
    return network


def _group_norm(layer: nn.BatchNorm2d) -> nn.Module:
    width = layer.num_features
    groups = next(count for count in range(min(GROUPS, width), 0, -1) if width % count == 0)
    if not isinstance(layer, BatchNormAct2d):
        return nn.GroupNorm(groups, width)
    act: nn.Module = GroupNormAct(width, groups)
    act.drop, act.act = layer.drop, layer.act
    return act


def _channels_second(maps: Tensor, width: int) -> Tensor:
    """Convert features that some timm transformers return as [B, h, w, C] to [B, C, h, w]."""
    return maps if maps.shape[1] == width else maps.permute(0, 3, 1, 2).contiguous()

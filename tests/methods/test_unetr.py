"""UNETR: MONAI's own network at its native size, any other size, any representation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from bigkingxxl.errors import SettingsError
from bigkingxxl.methods.base import Batch, Crop, Method
from bigkingxxl.methods.registry import METHODS, make_method
from tests.refusals import refused

SMALL = {
    "feature_size": 4, "hidden_size": 16, "mlp_dim": 32, "heads": 2, "image_size": 48,
    "pyramid": "", "imagenet": False,
}  # fmt: skip
NAMES = ("astro", "cort")


def unetr(names: tuple[str, ...] = NAMES, **settings: Any) -> Method:
    return make_method("unetr", {**SMALL, **settings}, names)


def built(method: Method) -> nn.Module:
    torch.manual_seed(0)
    return method.build().eval()


def monais(size: tuple[int, int], channels: int) -> nn.Module:
    from monai.networks.nets.unetr import UNETR

    torch.manual_seed(1)
    network: nn.Module = UNETR(
        in_channels=1, out_channels=channels, img_size=size, feature_size=4, hidden_size=16,
        mlp_dim=32, num_heads=2, norm_name="batch", spatial_dims=2,
    )  # fmt: skip
    return network.eval()


def with_weights_of(network: nn.Module, other: nn.Module) -> nn.Module:
    weights = other.state_dict()
    network.load_state_dict({name: weights[name] for name in network.state_dict()})
    return network


def test_the_native_size_is_monais_own_forward() -> None:
    other = monais((48, 48), 3)
    network = with_weights_of(built(unetr()), other)
    image = torch.randn(2, 1, 48, 48)
    with torch.inference_mode():
        torch.testing.assert_close(network(image), other(image), atol=1e-5, rtol=0)


def test_another_grid_is_monais_with_interpolated_positions() -> None:
    other = monais((64, 96), 3)
    network = built(unetr())
    weights = other.state_dict()
    position = "vit.patch_embedding.position_embeddings"
    learnt = network.state_dict()[position]
    network.load_state_dict(
        {name: learnt if name == position else weights[name] for name in network.state_dict()}
    )
    grid = learnt.transpose(1, 2).reshape(1, -1, 3, 3)
    wider = functional.interpolate(grid, size=(4, 6), mode="bicubic").flatten(2).transpose(1, 2)
    other.load_state_dict({**weights, position: wider})
    image = torch.randn(1, 1, 64, 96)
    with torch.inference_mode():
        torch.testing.assert_close(network(image), other(image), atol=1e-5, rtol=0)


@pytest.mark.parametrize("pyramid", ["", "tf_efficientnet_lite0"])
@pytest.mark.parametrize("size", [(37, 53), (16, 16), (1, 1), (100, 20)])
def test_any_size_is_padded_and_cut_back(pyramid: str, size: tuple[int, int]) -> None:
    network = built(unetr(pyramid=pyramid))
    image = torch.randn(1, 1, *size)
    padded = functional.pad(image, (0, -size[1] % 16, 0, -size[0] % 16), mode="replicate")
    with torch.inference_mode():
        logits = network(image)
        assert logits.shape == (1, 3, *size)
        expected = network(padded)[..., : size[0], : size[1]]
        torch.testing.assert_close(logits, expected, atol=1e-5, rtol=0)


def some_batch(method: Method) -> Batch:
    rng = np.random.default_rng(0)
    planes = np.zeros((1, 40, 56), np.int32)
    planes[0, 4:20, 6:30], planes[0, 25:36, 20:50] = 1, 2
    crops = [Crop(rng.normal(size=(1, 40, 56)).astype(np.float32), planes,
                  np.array(types, np.int16)) for types in ([0, 1], [1, 1])]  # fmt: skip
    targets = method.collate([method.targets(crop) for crop in crops])
    return Batch(torch.from_numpy(np.stack([crop.image for crop in crops])), targets)


@pytest.mark.parametrize("representation", ["components", "watershed"])
@pytest.mark.parametrize("pyramid", ["", "tf_efficientnet_lite0"])
def test_gradients_reach_every_parameter(pyramid: str, representation: str) -> None:
    method = unetr(pyramid=pyramid, representation=representation)
    network = method.build()
    method.loss(network, some_batch(method))["loss"].backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        # Norms over a batch remove what a bias before them adds.
        assert name.endswith("bias") or parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("normalisation", ["batch", "group", "instance"])
def test_it_learns_two_crops(normalisation: str) -> None:
    torch.manual_seed(0)
    method = unetr(normalisation=normalisation, feature_size=12)
    network = method.build()
    batch = some_batch(method)
    optimizer = torch.optim.AdamW(network.parameters(), 5e-3)
    losses = []
    for _ in range(12):
        optimizer.zero_grad()
        loss = method.loss(network, batch)["loss"]
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize(
    ("representation", "channels"), [("components", 2), ("watershed", 3), ("flows", 5)]
)
def test_any_representation_sits_on_top(representation: str, channels: int) -> None:
    method = unetr(representation=representation)
    network = built(method)
    images = torch.randn(2, 1, 37, 53)
    assert network(images).shape == (2, channels, 37, 53)
    found = method.detect(network, images)
    assert [each.size for each in found] == [(37, 53)] * 2
    assert found[0].type_names == NAMES


@pytest.mark.parametrize(
    ("settings", "key", "found"),
    [
        ({"hidden_size": 20, "heads": 3}, "hidden_size", 20),
        ({"image_size": 250}, "image_size", 250),
        ({"representation": "watershd"}, "representation", "watershd"),
        ({"representation_settings": {"dice_wait": 1}}, "dice_wait", None),
        ({"feature_sise": 8}, "feature_sise", None),
        ({"normalisation": "layer"}, "normalisation", "layer"),
        ({"dropout": 1.0}, "dropout", 1.0),
        ({"image_channels": 0}, "image_channels", 0),
    ],
)
def test_bad_settings(settings: dict[str, Any], key: str, found: object) -> None:
    with refused(SettingsError, key=key, found=found):
        unetr(**settings)


@pytest.mark.parametrize(
    ("pyramid", "found"),
    [("efficientnet_lite_0", "efficientnet_lite_0"), ("convnext_atto", [4, 8, 16, 32])],
)
def test_encoders_that_do_not_fit(pyramid: str, found: object) -> None:
    with refused(SettingsError, pyramid, key="encoder", found=found):
        unetr(pyramid=pyramid).build()


def test_methods_are_known_by_name() -> None:
    with refused(SettingsError, found="unter", did_you_mean="unetr"):
        make_method("unter", {}, NAMES)
    for name in METHODS:
        assert make_method(name, {}, NAMES).name == name

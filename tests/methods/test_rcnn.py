"""Mask R-CNN and Cascade: every head learns, and what is learned is detected again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from bigkingxxl.errors import SettingsError
from bigkingxxl.methods.base import Batch, Crop
from bigkingxxl.methods.rcnn import Rcnn
from bigkingxxl.methods.registry import make_method
from tests.refusals import refused

NAMES = ("astro", "cort", "shsy5y")
SMALL: dict[str, Any] = {
    "backbone": "tf_efficientnet_lite0", "channels": 16, "box_width": 32, "mask_width": 16,
    "mask_depth": 1, "proposals": (100, 100), "regions": 64, "detections": 50,
}  # fmt: skip


def rcnn(name: str = "mask_rcnn", types: tuple[str, ...] = NAMES, **settings: Any) -> Rcnn:
    method = make_method(name, {**SMALL, **settings}, types)
    assert isinstance(method, Rcnn)
    return method


def scene(size: int = 96) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.int16]]:
    """Four bright discs of three types, two of them overlapping on planes of their own."""
    rows, cols = np.mgrid[:size, :size]
    planes = np.zeros((2, size, size), np.int32)
    image = np.zeros((1, size, size), np.float32)
    for index, (row, col, radius) in enumerate(
        [(20, 20, 12), (26, 38, 10), (70, 25, 14), (60, 70, 16)]
    ):
        inside = (rows - row) ** 2 + (cols - col) ** 2 < radius**2
        planes[index % 2][inside] = index + 1
        image[0][inside] += 1
    return image, planes, np.array([0, 1, 2, 0], np.int16)


def batch_of(method: Rcnn, *crops: Crop) -> Batch:
    images = torch.from_numpy(np.stack([crop.image for crop in crops]))
    return Batch(images, method.collate([method.targets(crop) for crop in crops]))


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("mask_rcnn", {}),
        ("cascade_rcnn", {}),
        ("cascade_rcnn", {"boxes_by_type": True, "masks_by_type": True, "box_head": "conv"}),
        ("mask_rcnn", {"backbone": "resnet18", "norm": "group", "stem_stride": 1}),
        ("mask_rcnn", {"backbone": "swin_tiny_patch4_window7_224"}),
        ("mask_rcnn", {"backbone": "convnext_atto", "mask_side": 56, "rpn_depth": 2}),
    ],
)
def test_every_head_and_stage_gets_a_gradient(name: str, settings: dict[str, Any]) -> None:
    torch.manual_seed(0)
    method = rcnn(name, **settings)
    network = method.build()
    losses = method.loss(network, batch_of(method, Crop(*scene())))
    losses["loss"].backward()
    expected = {"loss", "objectness", "anchors", "mask"}
    expected |= {
        f"{kind}_{stage + 1}" for kind in ("type", "box") for stage in range(method.stages)
    }
    assert set(losses) == expected
    total = sum(float(value.detach()) for key, value in losses.items() if key != "loss")
    assert total == pytest.approx(float(losses["loss"].detach()), rel=1e-5)
    for part in ("rpn.head", "mask_head", "backbone.fpn", "backbone.body",
                 *(f"box_heads.{stage}" for stage in range(method.stages))):  # fmt: skip
        gradients = [
            parameter.grad.abs().sum() if parameter.grad is not None else torch.tensor(0.0)
            for key, parameter in network.named_parameters() if key.startswith(part)
        ]  # fmt: skip
        assert float(sum(gradients)) > 0, part
        assert all(bool(each.isfinite()) for each in gradients), part


@pytest.mark.parametrize("name", ["mask_rcnn", "cascade_rcnn"])
def test_images_without_cells_are_learned_as_background(name: str) -> None:
    torch.manual_seed(0)
    method = rcnn(name)
    network = method.build()
    image, planes, types = scene()
    batch = batch_of(method, Crop(image, np.zeros_like(planes[:1]), types))
    losses = method.loss(network, batch)
    losses["loss"].backward()
    assert float(losses["mask"].detach()) == 0
    assert float(losses["box_1"].detach()) == 0
    for parameter in network.parameters():
        assert parameter.grad is None or bool(parameter.grad.isfinite().all())


def test_overfitted_cells_are_found() -> None:
    torch.manual_seed(0)
    method = rcnn("mask_rcnn", norm="group", box_nms=0.5)
    network = method.build()
    image, planes, types = scene()
    batch = batch_of(method, Crop(image, planes, types))
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3)
    for _ in range(60):
        optimizer.zero_grad()
        method.loss(network, batch)["loss"].backward()
        optimizer.step()
    network.eval()
    with torch.inference_mode():
        (found,) = method.detect(network, batch.images)
    found = found.take(found.score > 0.5)
    for cell in range(4):
        truth = planes[cell % 2] == cell + 1
        best = 0.0
        for index in range(len(found)):
            frame = np.zeros(truth.shape, bool)
            row0, col0, row1, col1 = found.boxes[index]
            frame[row0:row1, col0:col1] = found.crop(index) > 127
            best = max(best, (frame & truth).sum() / (frame | truth).sum())
        assert best > 0.6
    assert found.type_probability is not None
    np.testing.assert_allclose(found.type_probability.sum(axis=1), 1, atol=1e-4)


def test_candidates_are_inside_the_tile_and_limited() -> None:
    torch.manual_seed(0)
    method = rcnn("cascade_rcnn", detections=7)
    network = method.build().eval()
    with torch.inference_mode():
        found = method.detect(network, torch.randn(2, 1, 96, 128))
    assert len(found) == 2
    for each in found:
        assert each.size == (96, 128)
        assert each.type_names == NAMES
        assert len(each) <= 7
        assert bool((each.boxes >= 0).all())
        assert bool((each.boxes[:, 2:] <= (96, 128)).all())


def test_a_tile_does_not_depend_on_its_batch() -> None:
    torch.manual_seed(0)
    method = rcnn("cascade_rcnn")
    network = method.build().eval()
    tiles = torch.randn(3, 1, 96, 96)
    with torch.inference_mode():
        together = method.detect(network, tiles)
        alone = method.detect(network, tiles[1:2])[0]
    assert len(together[1]) == len(alone)
    np.testing.assert_allclose(together[1].score, alone.score, atol=1e-4)


def test_types_that_do_not_compete_are_candidates_of_their_own() -> None:
    torch.manual_seed(0)
    joint, apart = rcnn(score_floor=0.0), rcnn(score_floor=0.0, nms_by_type=True, detections=500)
    network = joint.build().eval()
    with torch.inference_mode():
        (one,) = joint.detect(network, torch.zeros(1, 1, 96, 96))
        (many,) = apart.detect(network, torch.zeros(1, 1, 96, 96))
    assert one.type_probability is not None
    assert many.type_probability is not None
    assert float(one.type_probability.max()) < 1
    assert set(np.unique(many.type_probability)) == {0.0, 1.0}


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"backbone": "resnet999"}, "resnet999"),
        ({"backbone": "swin_tiny_patch4_window7_224", "stem_stride": 1}, 4),
        ({"backbone": "vit_tiny_patch16_224"}, [16, 16, 16, 16]),
    ],
)
def test_unsuitable_backbones_are_refused(settings: dict[str, Any], found: object) -> None:
    with refused(SettingsError, key="backbone", found=found):
        rcnn(**settings).build()


def test_without_the_stem_stride_the_resolution_doubles() -> None:
    image = torch.zeros(1, 1, 64, 64)
    usual = rcnn(backbone="resnet18").build()(image)
    fine = rcnn(backbone="resnet18", stem_stride=1).build()(image)
    assert [each.shape[-1] for each in usual] == [16, 8, 4, 2, 1]
    assert [each.shape[-1] for each in fine] == [32, 16, 8, 4, 2]


def test_frozen_norms_do_not_move() -> None:
    torch.manual_seed(0)
    method = rcnn(norm="frozen")
    network = method.build().train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    method.loss(network, batch_of(method, Crop(*scene())))
    after = network.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    learnt = {key for key, _ in network.named_parameters()}
    assert not any(".bn1." in key for key in learnt)


@pytest.mark.parametrize("name", ["mask_rcnn", "cascade_rcnn"])
def test_a_pull_on_soft_layers_reaches_mask_head_features_and_backbone(name: str) -> None:
    torch.manual_seed(0)
    method = rcnn(name, score_floor=0.0)
    network: Any = method.build()
    image, planes, types = scene()
    batch = batch_of(method, Crop(image, planes, types))
    losses, layers = method.losses_and_layers(network, batch)
    seen = method.layers(network, batch.images)
    for each in (layers, seen):  # of an annotated image, and of one without
        assert each.shape == (1, 3, 96, 96)
        assert 0 <= each.detach().min() <= each.detach().max() <= 1
        network.zero_grad()
        each.sum().backward(retain_graph=True)
        for part in (network.mask_head, network.backbone.fpn, network.backbone.body):
            slopes = [p.grad for p in part.parameters() if p.grad is not None]
            assert all(slope.isfinite().all() for slope in slopes)
            assert any(slope.abs().sum() > 0 for slope in slopes)
        assert all(p.grad is None or not p.grad.any() for p in network.box_heads.parameters())
    assert losses.keys() >= {"loss", "mask", "objectness"}


def test_true_layers_show_each_cells_type_where_it_lies() -> None:
    method = rcnn()
    image, planes, types = scene()
    batch = batch_of(method, Crop(image, planes, types))
    layers = method.true_layers(batch.targets)[0]
    for kind in range(3):
        owners = np.flatnonzero(types == kind) + 1
        assert np.array_equal(layers[kind].numpy() > 0, np.isin(planes, owners).any(axis=0))

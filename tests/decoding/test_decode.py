"""Decoding: true maps give the cells back, scores are correct, parameters do what they say."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from bigkingxxl.candidates import SCORE_FLOOR, Candidates
from bigkingxxl.decoding.base import Channel, Float32, Representation
from bigkingxxl.decoding.components import without_small
from bigkingxxl.decoding.registry import REPRESENTATIONS, make_representation
from bigkingxxl.decoding.scores import label_means
from bigkingxxl.errors import SettingsError
from bigkingxxl.settings import Settings
from tests.refusals import refused
from tests.support import soft_stack

NAMES = ("astro", "cort")
DENSE = pytest.mark.parametrize("name", ["components", "watershed"])


def decoded(
    name: str, planes: NDArray[np.int32], types: list[int], **parameters: Any
) -> Candidates:
    representation = make_representation(name, NAMES)
    targets = representation.targets(planes, np.array(types, np.int16))
    return representation.decode(targets, {"minimum_area": 0, **parameters})


def masks_of(candidates: Candidates) -> list[bytes]:
    return sorted((mask > 127).tobytes() for mask in soft_stack(candidates))


@DENSE
def test_separate_cells_are_recovered(name: str) -> None:
    planes = np.zeros((1, 40, 50), np.int32)
    planes[0, 3:12, 4:14], planes[0, 20:33, 4:10], planes[0, 8:30, 25:45] = 1, 2, 3
    found = decoded(name, planes, [0, 1, 1])
    assert masks_of(found) == sorted((planes[0] == k).tobytes() for k in (1, 2, 3))
    order = np.argsort(found.boxes[:, 1] * 100 + found.boxes[:, 0])
    np.testing.assert_array_equal(np.asarray(found.type_probability)[order].argmax(1), [0, 1, 1])


@pytest.mark.parametrize(("name", "cells"), [("components", 1), ("watershed", 4)])
def test_touching_squares(name: str, cells: int) -> None:
    planes = np.zeros((1, 40, 40), np.int32)
    planes[0, 4:18, 4:18], planes[0, 4:18, 18:32] = 1, 2
    planes[0, 18:32, 4:18], planes[0, 18:32, 18:32] = 3, 4
    found = decoded(name, planes, [0, 0, 0, 0])
    assert len(found) == cells
    if cells == 4:
        expected = [(planes[0] == k) for k in range(1, 5)]
        masks = [mask > 127 for mask in soft_stack(found)]
        best = [max((m & e).sum() / (m | e).sum() for m in masks) for e in expected]
        assert min(best) > 0.9


def test_foreground_without_a_core_is_a_cell_as_it_is() -> None:
    representation = make_representation("watershed", ("cell",))
    maps = np.zeros((2, 20, 30), np.float32)
    maps[0, 5:9, 5:25] = 0.9
    found = representation.decode(maps)
    assert len(found) == 1
    assert found.boxes.tolist() == [[5, 5, 9, 25]]


@DENSE
def test_scores_are_mean_probability_times_agreement(name: str) -> None:
    planes = np.zeros((1, 40, 50), np.int32)
    planes[0, 5:25, 5:25], planes[0, 5:25, 28:48] = 1, 2
    representation = make_representation(name, ("cell",))
    maps = representation.targets(planes, np.zeros(2, np.int16))
    perfect = representation.decode(maps)
    np.testing.assert_allclose(perfect.score, 1, atol=1e-4)
    maps[0, :, :26] *= 0.7
    unsure = representation.decode(maps)
    np.testing.assert_allclose(np.sort(unsure.score), [0.7, 1], atol=1e-4)
    if name == "watershed":
        contradicted = maps.copy()
        contradicted[1] = np.clip(contradicted[1], 0.55, 1)  # no border is visible anywhere
        assert (np.sort(representation.decode(contradicted).score) < [0.6, 0.85]).all()


@DENSE
@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (37, 53)])
@pytest.mark.parametrize("value", [0.0, 1.0, np.nan])
def test_uninformative_maps_have_no_cells(name: str, shape: tuple[int, int], value: float) -> None:
    representation = make_representation(name, NAMES)
    maps = np.full((len(representation.channels), *shape), value, np.float32)
    found = representation.decode(maps, {"minimum_area": 0})
    assert found.size == shape
    assert found.type_names == NAMES
    assert len(found) == (1 if value == 1.0 else 0)


@DENSE
def test_parameters(name: str) -> None:
    maps = np.zeros((2 if name == "components" else 3, 20, 30), np.float32)
    maps[0, 2:6, 2:7], maps[0, 10:16, 10:20] = 0.6, 0.4
    representation = make_representation(name, NAMES)
    assert len(representation.decode(maps)) == 1
    assert len(representation.decode(maps, {"foreground_threshold": 0.3})) == 2
    assert len(representation.decode(maps, {"minimum_area": 20})) == 1
    assert len(representation.decode(maps, {"minimum_area": 21})) == 0
    with refused(SettingsError, key="foreground_treshold", did_you_mean="foreground_threshold"):
        representation.decode(maps, {"foreground_treshold": 0.3})
    with refused(SettingsError, name, key="foreground_threshold", found=7):
        representation.decode(maps, {"foreground_threshold": 7})


@DENSE
def test_faint_maps_give_no_candidate(name: str) -> None:
    maps = np.zeros((2 if name == "components" else 3, 20, 30), np.float32)
    maps[0, 2:6, 2:7] = SCORE_FLOOR / 2
    parameters = {"foreground_threshold": 0.001}
    assert len(make_representation(name, NAMES).decode(maps, parameters)) == 0


@DENSE
def test_types_weigh_by_the_foreground_they_claim(name: str) -> None:
    representation = make_representation(name, NAMES)
    maps = np.zeros((len(representation.channels), 10, 10), np.float32)
    maps[0, :4], maps[1, 4:] = 0.9, 0.8
    maps[1, :4] = 0.1
    weights = representation.type_weights(maps)
    np.testing.assert_allclose(np.asarray(weights), [36, 52], rtol=1e-5)


def test_small_labels_go_and_the_rest_is_renumbered() -> None:
    labels = np.array([[1, 1, 0, 5], [3, 3, 3, 0]], np.int32)
    expected = [[1, 1, 0, 0], [2, 2, 2, 0]]
    np.testing.assert_array_equal(without_small(labels, 2), expected)
    assert not without_small(labels, 4).any()
    assert without_small(np.full((2, 2), 7, np.int32), 1).tolist() == [[1, 1], [1, 1]]


def test_means_inside_labels() -> None:
    labels = np.array([[1, 1, 0], [3, 3, 3]], np.int32)
    values = np.array([[1, 2, 9], [3, 3, 6]], np.float32)
    np.testing.assert_allclose(label_means(labels, values, 3), [1.5, 0, 4])


@pytest.mark.parametrize(
    ("name", "settings", "key", "fields"),
    [
        ("watershd", {}, "representation", {"found": "watershd", "expected": "watershed"}),
        ("watershed", {"dice_wait": 1}, "dice_wait", {"did_you_mean": "dice_weight"}),
        ("components", {"dice_weight": -1}, "dice_weight", {"found": -1}),
    ],
)
def test_bad_settings(
    name: str, settings: dict[str, Any], key: str, fields: dict[str, Any]
) -> None:
    with refused(SettingsError, key=key, **fields):
        make_representation(name, NAMES, settings)


def test_every_representation_can_be_made() -> None:
    for name in REPRESENTATIONS:
        representation = make_representation(name, NAMES)
        assert representation.name == name
        names = [channel.name for channel in representation.channels]
        assert len(set(names)) == len(names)


class Toy(Representation):
    name: ClassVar[str] = "toy"
    Settings: ClassVar[type[Settings]] = Settings

    @property
    def channels(self) -> tuple[Channel, ...]:
        return (Channel("a", activation="softmax"), Channel("row", "row", "identity"),
                Channel("b", activation="softmax"), Channel("c"))  # fmt: skip

    def targets(
        self,
        planes: NDArray[np.int32],
        cell_type: NDArray[np.int16],
        diameter: Float32 | None = None,
        width: Float32 | None = None,
    ) -> Float32:
        raise NotImplementedError

    def loss(self, *, logits: torch.Tensor, targets: torch.Tensor) -> dict[str, torch.Tensor]:
        raise NotImplementedError

    def type_layers(self, maps: Any) -> Any:
        raise NotImplementedError

    def decode(self, maps: Float32, parameters: Mapping[str, Any] | None = None) -> Candidates:
        raise NotImplementedError

    def type_weights(self, maps: Float32) -> Float32 | None:
        return None


def test_activations_by_channel() -> None:
    logits = torch.tensor([1.0, -3.0, 2.0, 0.5]).reshape(1, 4, 1, 1)
    maps = Toy(("cell",)).activate(logits).flatten().numpy()
    e1, e2 = np.exp([1.0, 2.0])
    expected = [e1 / (e1 + e2), -3, e2 / (e1 + e2), 1 / (1 + np.exp(-0.5))]
    np.testing.assert_allclose(maps, expected, rtol=1e-6)


def test_true_maps_of_real_cells_give_the_cells_back(sartorius: Path) -> None:
    from bigkingxxl.data.dataset import open_dataset
    from bigkingxxl.evaluation.competition_map import competition_map
    from bigkingxxl.inference.selection import select
    from bigkingxxl.operating_points import OperatingPoints

    data = open_dataset(sartorius)
    ids = [each for each in data.ids if data.cell_type(each) == "cort"][::80]
    representation = make_representation("watershed", data.type_names)
    truth, found = {}, {}
    for image_id in ids:
        truth[image_id] = data.instances(image_id)
        cells = truth[image_id]
        maps = representation.targets(cells.planes(), cells.cell_type)
        found[image_id] = select(representation.decode(maps), OperatingPoints())
    assert competition_map(truth, found, dict.fromkeys(ids, "cort")).mean > 0.95

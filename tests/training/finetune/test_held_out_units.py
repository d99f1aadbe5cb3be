"""The units held out: images, or regions of few or large ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bigkingxxl.data.dataset import open_dataset
from bigkingxxl.training.finetune import held_out_units
from bigkingxxl.training.finetune.held_out_units import fold_units, regions_of, units_of
from tests.training.finetune.data import field, fields, save


def test_several_images_are_held_out_unchanged(tmp_path: Path) -> None:
    data = open_dataset(save(tmp_path / "d", fields(5)))
    found = units_of(data)
    assert (found.kind, found.data.ids, found.count) == ("images", data.ids, 5)
    folds = fold_units(found, 2, seed=0)
    assert sorted(each for fold in folds for each in fold) == sorted(data.ids)
    assert all(folds)


def test_one_image_is_parted_into_regions_that_show_it_whole(tmp_path: Path) -> None:
    left, right = field(0), field(1)
    upper = np.hstack([left[1], np.where(right[1] > 0, right[1] + 9, 0)])
    labels = np.vstack([upper, np.where(upper[::-1] > 0, upper[::-1] + 18, 0)])
    image = np.hstack([left[0], right[0]])
    image = np.vstack([image, image[::-1]])
    data = open_dataset(save(tmp_path / "d", {"only": (image, labels)}))
    found = units_of(data)
    assert found.kind == "regions"
    assert found.count == 4
    assert found.note is not None
    whole = data.source("only").read()
    parts = [found.data.source(each).read() for each in found.data.ids]
    assert np.array_equal(np.block([parts[:2], parts[2:]])[0], whole[0])
    shown = data.source("only").statistics.percentile(90.0)
    for each in found.data.ids:
        assert np.array_equal(found.data.source(each).statistics.percentile(90.0), shown)
    assert sum(len(found.data.instances(each)) for each in found.data.ids) == 36


def test_a_small_image_of_few_cells_cannot_be_parted(tmp_path: Path) -> None:
    data = open_dataset(save(tmp_path / "d", {"only": field(0, cells=3)}))
    found = units_of(data)
    assert (found.kind, found.count) == ("images", 1)


def test_a_cut_cell_counts_if_enough_of_it_is_inside(tmp_path: Path) -> None:
    labels = np.zeros((96, 96), np.int32)
    places = [(r, c) for r in (4, 26, 52, 78) for c in (4, 30, 58, 78)]
    for number, (row, col) in enumerate(places):
        labels[row : row + 12, col : col + 12] = number + 1
    labels[4:16, 36:52] = 50  # 12 of its 16 columns are left of the middle
    labels[4:16, 30:36] = 0
    image = np.where(labels > 0, 200, 100).astype(np.uint8)
    data = open_dataset(save(tmp_path / "d", {"only": (image, labels)}))
    regions = regions_of(data, {"only": (96, 96)})
    left, right = regions.ids[:2]
    ignored = regions.ignored(right)
    assert ignored is not None
    assert ignored[4:16, :4].all()
    assert ignored.sum() == 12 * 4
    assert regions.ignored(left) is None
    assert 144 in regions.instances(left).areas()


def test_large_images_are_divided_into_regions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held_out_units, "LARGEST_SIDE", 60)
    data = open_dataset(save(tmp_path / "d", fields(4)))
    found = units_of(data)
    assert found.kind == "regions"
    assert max(max(found.data.source(each).shape) for each in found.data.ids) <= 60
    assert found.count == 4
    for fold in fold_units(found, 2, seed=0):
        inside = {each.partition(" ")[0] for each in fold}
        outside = {each.partition(" ")[0] for each in set(found.data.ids) - set(fold)}
        assert not inside & outside


def test_a_sample_of_many_images_is_checked_and_the_others_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held_out_units, "MOST_SAMPLED", 4)
    data = open_dataset(save(tmp_path / "d", fields(7)))
    found = units_of(data)
    assert found.sampled == ("f0", "f2", "f4", "f6")
    folds = fold_units(found, 2, seed=0)
    assert sorted(each for fold in folds for each in fold) == list(found.sampled)
    for fold in folds:
        assert set(found.without(fold)) == set(data.ids) - set(fold)

"""Fragments among annotations are neither learned nor scored."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bigkingxxl.data.dataset import open_dataset
from bigkingxxl.training.finetune.tiny_fragments import find_tiny_fragments, without_tiny_fragments
from tests.training.finetune.data import field, save


def test_fragments_are_found_by_the_size_of_the_cells_and_ignored(tmp_path: Path) -> None:
    image, labels = field(0)
    labels[0, 0:2], labels[90, 90] = 60, 61
    data = open_dataset(save(tmp_path / "d", {"x": (image, labels)}))
    specks = find_tiny_fragments(data)
    assert (specks.count, specks.median) == (2, 144)
    assert specks.limit < 25
    assert specks.note is not None
    clean = without_tiny_fragments(data, specks.limit)
    assert len(clean.instances("x")) == 9
    ignored = clean.ignored("x")
    assert ignored is not None
    assert np.argwhere(ignored).tolist() == [[0, 0], [0, 1], [90, 90]]


def test_cells_that_are_all_small_are_cells(tmp_path: Path) -> None:
    labels = np.zeros((40, 40), np.int32)
    for number in range(6):
        labels[6 * number : 6 * number + 2, 3:6] = number + 1
    data = open_dataset(save(tmp_path / "d", {"x": ((labels > 0).astype(np.uint8), labels)}))
    specks = find_tiny_fragments(data)
    assert (specks.count, specks.note) == (0, None)


def test_ignored_pixels_stay_ignored(tmp_path: Path) -> None:
    image, labels = field(0)
    labels[0, 0] = 60
    folder = save(tmp_path / "d", {"x": (image, labels)})
    from PIL import Image

    mask = np.zeros(labels.shape, np.uint8)
    mask[50:] = 255
    (folder / "ignore").mkdir()
    Image.fromarray(mask).save(folder / "ignore" / "x.png")
    data = open_dataset(folder)
    clean = without_tiny_fragments(data, find_tiny_fragments(data).limit)
    ignored = clean.ignored("x")
    assert ignored is not None
    assert ignored[50:].all()
    assert ignored[0, 0]
    assert ignored.sum() == (mask > 0).sum() + 1

"""What is checked before a training: annotated pixels, repeated images, large cells."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile

from bigkingxxl.data.base import Dataset
from bigkingxxl.data.joined import open_datasets
from bigkingxxl.data.unlabelled import unlabelled_images
from bigkingxxl.errors import InputError
from bigkingxxl.training.dataset_checks import check_annotated
from bigkingxxl.training.repeats import check_repeated, without_repeats
from tests.refusals import refused

SIZE = (40, 50)


def write(folder: Path, cells: int = 2, ignored: str = "", kind: str = "") -> Path:
    """Write two different images with the same cells.

    Args:
        ignored: What is marked as not annotated in both: "", "cells" or "all".
        kind: The cell type.
    """
    for part in ("images", "labels", *(["ignore"] if ignored else [])):
        (folder / part).mkdir(parents=True)
    labels = np.zeros(SIZE, np.uint16)
    for cell in range(cells):
        labels[5:15, 5 + 20 * cell : 15 + 20 * cell] = cell + 1
    for name in ("x", "y"):
        seed = int.from_bytes(f"{folder.name}{name}".encode(), "little")
        image = np.random.default_rng(seed).integers(0, 255, SIZE).astype(np.uint8)
        tifffile.imwrite(folder / "images" / f"{name}.tif", image)
        tifffile.imwrite(folder / "labels" / f"{name}.tif", labels)
        if ignored:
            mask = labels > 0 if ignored == "cells" else np.ones(SIZE, bool)
            tifffile.imwrite(folder / "ignore" / f"{name}.tif", mask.astype(np.uint8))
    if kind:
        (folder / "cell_types.csv").write_text(f"id,cell_type\nx,{kind}\ny,{kind}\n")
    return folder


def opened(*folders: Path) -> Dataset:
    return open_datasets(folders)


@pytest.mark.parametrize(("cells", "ignored"), [(0, ""), (2, "cells"), (2, "all")])
def test_images_that_teach_no_cell_are_refused(tmp_path: Path, cells: int, ignored: str) -> None:
    data = opened(write(tmp_path / "a", cells, ignored))
    with refused(InputError, file=data.root):
        check_annotated(data, data.ids)


@pytest.mark.parametrize(("cells", "ignored"), [(0, ""), (2, "cells"), (2, "all")])
def test_a_data_set_that_teaches_no_cell_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, cells: int, ignored: str
) -> None:
    data = opened(write(tmp_path / "good"), write(tmp_path / "other", cells, ignored))
    check_annotated(data, data.ids)
    assert "'other'" in caplog.text
    assert "good" not in caplog.text
    assert ("other/x" in caplog.text) == (ignored == "all")


def test_partly_annotated_images_are_accepted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write(tmp_path / "a", ignored="all")
    mask = np.zeros(SIZE, np.uint8)
    mask[:, :16] = 1
    for name in ("x", "y"):
        tifffile.imwrite(folder / "ignore" / f"{name}.tif", mask)
    data = opened(folder)
    check_annotated(data, data.ids)
    assert not caplog.text


def copied(folder: Path, name: str, kind: str = "") -> Path:
    copy = folder.with_name(name)
    shutil.copytree(folder, copy)
    if kind:
        (copy / "cell_types.csv").write_text(f"id,cell_type\nx,{kind}\ny,{kind}\n")
    return copy


def test_one_image_with_two_types_is_refused(tmp_path: Path) -> None:
    first = write(tmp_path / "a", kind="neuron")
    data = opened(first, copied(first, "b", "astro"))
    with refused(InputError, key="cell_type", expected=("neuron",), found=("astro",)):
        check_repeated(data, data.ids)
    with pytest.raises(InputError):
        without_repeats(data)


@pytest.mark.parametrize("other", ["neuron", "Neuron", ""])
def test_an_image_trained_on_twice_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, other: str
) -> None:
    """A copy without types contradicts nothing, nor does one with another spelling."""
    first = write(tmp_path / "a", kind="neuron")
    second = copied(first, "b", other)
    if not other:
        (second / "cell_types.csv").unlink()
    data = opened(first, second)
    check_repeated(data, data.ids, apart=("",))
    assert "a/x, b/x" in caplog.text
    kept, note = without_repeats(data)
    assert kept.ids == ("a/x", "a/y")
    assert note is not None


def test_an_image_that_is_trained_on_and_scored_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = write(tmp_path / "a")
    data = opened(first, copied(first, "b"))
    check_repeated(data, ("a/x", "a/y"), ("b/x",))
    assert "a/x, b/x" in caplog.text
    caplog.clear()
    check_repeated(data, ("a/x",), ("a/y", "b/y"))
    assert not caplog.text


def test_images_without_annotation_that_are_annotated_are_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = opened(write(tmp_path / "a"))
    again = copied(tmp_path / "a" / "images", "again")
    (again / "y.tif").unlink()
    other = write(tmp_path / "b") / "images"
    assert len(unlabelled_images(data, [str(again), str(other)], (), data.ids)) == 3
    assert "again" in caplog.text
    caplog.clear()
    unlabelled_images(data, [str(other)], (), data.ids)
    assert not caplog.text

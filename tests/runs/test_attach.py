"""The labels of a run inside its images: those of every OME-Zarr, and a word on all others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bigkingxxl.errors import InputError
from bigkingxxl.runs.attach import attach_labels
from tests.io.annotations.test_zarr_inside import image
from tests.runs.large.blobs import field, image_of, predict

zarr = pytest.importorskip("zarr")


def test_labels_go_into_each_image_and_the_run_stays_done(tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    source = image(images / "a.zarr", "0.4", (90, 110))
    cells = field((90, 110), 30)
    zarr.open_group(source, mode="r+")["0"][:] = image_of(cells)
    Image.fromarray(image_of(cells)).save(images / "b.png")
    predict(images, tmp_path / "out", formats=("zarr", "summary"))
    done, failed = attach_labels(tmp_path / "out", "found")
    assert list(done) == ["a"]
    assert list(failed) == ["b"]
    inside = zarr.open_group(source, mode="r")["labels"]["found"]["0"][:]
    assert np.array_equal(inside > 0, cells > 0)
    again = predict(images, tmp_path / "out", formats=("zarr", "summary"))
    assert again.skipped == 2


def test_a_run_without_zarr_labels_is_told_what_to_do(tmp_path: Path) -> None:
    source = image(tmp_path / "a.zarr", "0.5")
    predict(source, tmp_path / "out", formats=("summary",))
    done, failed = attach_labels(tmp_path / "out")
    assert (done, list(failed)) == ({}, ["a"])
    assert not (source / "labels").exists()
    with pytest.raises(InputError):
        attach_labels(tmp_path / "nothing")

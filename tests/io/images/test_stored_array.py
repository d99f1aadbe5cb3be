"""Uncompressed arrays read by window."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bigkingxxl.errors import ImageError
from bigkingxxl.geometry import Window
from bigkingxxl.io.images.npy_files import open_npy
from bigkingxxl.io.images.stored_array import StoredArray
from tests.refusals import refused

SPANS = [
    [(0, 2), (0, 7), (0, 9)],
    [(1, 2), (2, 5), (3, 8)],
    [(0, 2), (6, 7), (0, 9)],
    [(0, 1), (0, 7), (8, 9)],
    [(1, 5), (2, 9), (4, 20)],  # beyond the array
]


@pytest.mark.parametrize("spans", SPANS)
@pytest.mark.parametrize("dtype", ["u1", ">u2", "<f4", "?"])
@pytest.mark.parametrize("is_fortran", [False, True])
def test_windows_equal_those_of_the_array(
    tmp_path: Path, spans: list[tuple[int, int]], dtype: str, is_fortran: bool
) -> None:
    values = np.random.default_rng(0).integers(0, 200, (2, 7, 9)).astype(dtype)
    path = tmp_path / "a.bin"
    path.write_bytes(b"head" + values.tobytes("F" if is_fortran else "C"))
    array = StoredArray(path, 4, values.dtype, values.shape, is_fortran)
    expected = values[tuple(slice(*span) for span in spans)]
    found = array.read(spans)
    assert found.dtype == expected.dtype
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("shape", [(30, 41), (2, 30, 41), (30, 41, 3), (30, 41, 4), (30, 41, 5)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_windows_of_npy_files(tmp_path: Path, shape: tuple[int, ...], order: str) -> None:
    values = np.random.default_rng(0).integers(0, 200, shape).astype(np.uint8)
    path = tmp_path / "a.npy"
    np.save(path, np.asarray(values, order=order))  # type: ignore[call-overload]
    window = Window(3, 4, 20, 40)
    found = open_npy(path, 10**6)[0].plane(0, 0).read(window)
    part = values[None] if values.ndim == 2 else values
    part = np.moveaxis(part, 2, 0) if shape[0] == 30 and values.ndim == 3 else part
    part = part[:3] if shape[-1] in (3, 4) else part
    assert np.array_equal(found, part[(slice(None), *window.slices)])


def test_a_file_that_was_truncated_after_it_was_opened(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((100, 100), np.uint8))
    plane = open_npy(path, 10**6)[0].plane(0, 0)
    with path.open("r+b") as stream:
        stream.truncate(1000)
    with refused(ImageError, file=path):
        plane.read(Window(50, 0, 100, 100))
    path.unlink()
    with refused(ImageError, file=path):
        plane.read(Window(0, 0, 10, 10))

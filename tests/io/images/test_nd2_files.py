"""Nikon's ND2: how its frames become images. The library is replaced, as it writes no files."""

from __future__ import annotations

import sys
from importlib import util
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bigkingxxl.errors import ImageError
from bigkingxxl.io.images import open_images
from tests.refusals import refused

RANDOM = np.random.default_rng(0)
AXES = ("T", "P", "Z")


def stand_in(pixels: np.ndarray, is_rgb: bool = False) -> ModuleType:
    """A module whose `ND2File` holds [T, P, Z, C, H, W] (or [T, P, Z, H, W, S]).

    As the library's documentation has it: `sizes` without axes of one place, `loop_indices` a
    mapping for each frame, `read_frame` the frame with all channels and without axes of one place.
    """
    counts = pixels.shape[:3]

    class ND2File:
        def __init__(self, path: Path) -> None:
            if b"cut" in path.read_bytes():
                raise ValueError("no chunk map")
            last = ("Y", "X", "S") if is_rgb else ("C", "Y", "X")
            sizes = dict(zip((*AXES, *last), pixels.shape, strict=True))
            self.sizes = {axis: n for axis, n in sizes.items() if n > 1}
            self.loop_indices = tuple(
                {axis: int(i) for axis, i, n in zip(AXES, index, counts, strict=True) if n > 1}
                for index in np.ndindex(*counts)
            )
            self.is_rgb = is_rgb

        def __enter__(self) -> ND2File:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def voxel_size(self) -> Any:
            return SimpleNamespace(x=0.25, y=0.5, z=1.0)

        def read_frame(self, number: int) -> np.ndarray:
            return np.asarray(pixels[np.unravel_index(number, counts)]).squeeze()

    module = ModuleType("nd2")
    module.__dict__["ND2File"] = ND2File
    return module


@pytest.fixture
def path(tmp_path: Path) -> Path:
    place = tmp_path / "x.nd2"
    place.write_bytes(b"\xda\xce\xbe\x0a".ljust(600, b"\0"))
    return place


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("counts", [(1, 1, 1), (3, 1, 1), (2, 2, 1), (1, 3, 2), (2, 2, 2)])
def test_each_frame_is_read_at_its_position(
    path: Path, monkeypatch: pytest.MonkeyPatch, counts: tuple[int, int, int], channels: int
) -> None:
    pixels = RANDOM.integers(0, 60_000, (*counts, channels, 12, 17)).astype(np.uint16)
    monkeypatch.setitem(sys.modules, "nd2", stand_in(pixels))
    monkeypatch.setattr(util, "find_spec", lambda name: name)
    images = open_images(path, z="all")
    places = [
        (t, p, z) for p in range(counts[1]) for t in range(counts[0]) for z in range(counts[2])
    ]
    assert len(images) == len(places)
    for image, (t, p, z) in zip(images, places, strict=True):
        marks = (f"_p0{p}", f"_t00{t}", f"_z0{z}")
        counted = (counts[1], counts[0], counts[2])
        expected = "x" + "".join(m for m, n in zip(marks, counted, strict=True) if n > 1)
        assert image.name == expected
        assert image.pixel_size_um == (0.5, 0.25)
        assert np.array_equal(image.read(), pixels[t, p, z])


def test_colour(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = RANDOM.integers(0, 256, (1, 1, 1, 12, 17, 3)).astype(np.uint8)
    monkeypatch.setitem(sys.modules, "nd2", stand_in(pixels, is_rgb=True))
    monkeypatch.setattr(util, "find_spec", lambda name: name)
    (image,) = open_images(path)
    expected = pixels[0, 0, 0].astype(float) @ [0.299, 0.587, 0.114]
    np.testing.assert_allclose(image.read()[0], expected, atol=1e-3)


def test_damage(path: Path) -> None:
    """With the library itself, if it is installed."""
    pytest.importorskip("nd2")
    with pytest.raises(ImageError, match=r"x\.nd2"):
        open_images(path)
    # Files from before 2010 begin like JPEG 2000, but are none.
    path.write_bytes(b"\0\0\0\x0cjP  \r\n\x87\n".ljust(600, b"\0"))
    with refused(ImageError, file=path):
        open_images(path)

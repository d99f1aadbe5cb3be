"""Images as the page shows them: levels and tiles compared with plain means of all pixels."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from bigkingxxl.images import ArrayImage
from bigkingxxl.viewer.server import pixels
from bigkingxxl.viewer.server.pixels import ShownImage, levels_of, shrunk, strided
from tests.viewer.window import Server, Window


def opened(content: bytes) -> NDArray[Any]:
    return np.array(Image.open(io.BytesIO(content)))


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixels, "TILE_SIDE", 8)
    monkeypatch.setattr(pixels, "WHOLE_LIMIT", 16)
    monkeypatch.setattr(pixels, "BAND_PIXELS", 300)


def naive(image: NDArray[Any], step: int) -> NDArray[Any]:
    rows, cols = range(0, image.shape[0], step), range(0, image.shape[1], step)
    return np.array([[image[r : r + step, c : c + step].mean() for c in cols] for r in rows])


def test_every_level_is_the_mean_of_its_pixels(small_tiles: None) -> None:
    image = np.random.default_rng(0).integers(0, 4000, (61, 83)).astype(np.uint16)
    shown = ShownImage(ArrayImage(image))
    levels = levels_of(shown.size)
    assert (levels[-1].rows, levels[-1].cols, len(levels)) == (1, 1, 5)
    for level in levels:
        whole = np.zeros((level.height, level.width))
        for row in range(level.rows):
            for col in range(level.cols):
                tile = opened(shown.picture(level=level.level, row=row, col=col, low=0, high=4000))
                top, left = 8 * row, 8 * col
                whole[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
        expected = naive(image, 2**level.level) * 255 / 4000
        assert np.abs(whole - expected).max() <= 0.51
        np.testing.assert_array_equal(
            np.block([[strided(image, level.level, row, col) for col in range(level.cols)]
                      for row in range(level.rows)]),
            image[:: 2**level.level, :: 2**level.level],
        )  # fmt: skip
    with pytest.raises(pixels.BadTileError):
        shown.picture()


def test_shrinking_keeps_the_mean_of_odd_ends() -> None:
    image = np.arange(35, dtype=np.float32).reshape(5, 7)
    np.testing.assert_allclose(shrunk(image, 4), naive(image, 4))


def test_colours_and_channels_are_shown(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    colours = rng.integers(0, 255, (20, 30, 3)).astype(np.uint8)
    Image.fromarray(colours).save(tmp_path / "colour.png")
    with Server(tmp_path, annotate=True) as server:
        place = f"/api/images/{server.keys['colour']}"
        info = server.get(place)
        assert info["is_rgb"]
        shown = server.client.get(f"{place}/pixels?channel=rgb&low=0&high=255").content
        np.testing.assert_array_equal(opened(shown), colours)
        thumbnail = server.client.get(f"{place}/thumbnail").content
        assert opened(thumbnail).shape == (20, 30)


def test_a_name_of_any_bytes_is_shown(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"f\xff\n")
    folder.mkdir()
    Image.fromarray(np.eye(9, dtype=np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(folder / os.fsdecode(b"\xfe.png"))
    with Server(folder, annotate=True) as server:
        server.get("/api/folder")
        ((name, key),) = server.keys.items()
        assert server.get(f"/api/images/{key}")["entry"]["name"] == name == "\\xfe"
        window = Window(server, key)
        window.paint((0, 0, 3, 3), 1)
    assert len(list(folder.rglob("labels/*.tif"))) == 1


def test_channel_statistics_cover_all_pixels(server: Server) -> None:
    info = server.get(f"/api/images/{server.keys['i01']}")
    channel = info["channels"][0]
    assert (channel["minimum"], channel["maximum"]) == (20, 200)
    assert (sum(channel["histogram"]), channel["histogram"][-1]) == (40 * 60, 12 * 25)


def test_an_image_too_large_for_its_cells_is_still_shown(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bigkingxxl.viewer.server.document_store.LARGEST_IMAGE", 100)
    place = f"/api/images/{server.keys['i00']}"
    assert server.get(place)["entry"]["name"] == "i00"
    assert server.client.get(f"{place}/pixels").status_code == 200
    refused = server.client.get(f"{place}/labels")
    assert (refused.status_code, "60 x 40" in refused.json()["error"]) == (422, True)

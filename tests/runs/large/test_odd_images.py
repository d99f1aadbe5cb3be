"""Cells larger than a block, damaged chunks, images that grow, full disks, odd OME-Zarr."""

from __future__ import annotations

import errno
import json
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from skimage.draw import disk

from bigkingxxl.candidates import Candidates
from bigkingxxl.cli.run_report import notes
from bigkingxxl.errors import OutputError
from bigkingxxl.images import ImageSource
from bigkingxxl.inference.predictor import ImageContext
from bigkingxxl.io.images import open_image
from bigkingxxl.runs.finish import finish_run
from bigkingxxl.runs.reader import open_run
from bigkingxxl.runs.records import Record
from bigkingxxl.runs.store import RunStore
from tests.refusals import refused
from tests.runs.large.blobs import Blobs, field, image_of, predict, small_blocks

SOME = ("labels", "measurements", "summary")


@pytest.fixture(autouse=True)
def blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    small_blocks(monkeypatch)


def test_a_cell_larger_than_the_margin_is_found_whole(tmp_path: Path) -> None:
    labels = np.zeros((200, 200), np.uint16)
    labels[disk((66, 62), 28)] = 1  # beyond the margin of 16 of all four blocks around it
    labels[150:156, 150:158] = 2
    tifffile.imwrite(tmp_path / "a.tif", image_of(labels))
    predictor = Blobs()
    result = predict(tmp_path / "a.tif", tmp_path / "out", formats=SOME, predictor=predictor)
    found = tifffile.imread(tmp_path / "out" / "labels" / "a.tif")
    assert result.cells == {"a": 2}
    assert not result.remarks
    assert np.array_equal(found > 0, labels > 0)
    assert len(np.unique(found[labels == 1])) == 1


def test_a_cell_larger_than_a_block_is_reported(tmp_path: Path) -> None:
    labels = np.zeros((300, 300), np.uint16)
    labels[20:24, 10:290] = 1
    tifffile.imwrite(tmp_path / "a.tif", image_of(labels))
    result = predict(tmp_path / "a.tif", tmp_path / "out", formats=SOME)
    (remark,) = result.remarks["a"]
    assert "row 22" in remark
    assert "cut" in remark
    assert np.array_equal(tifffile.imread(tmp_path / "out" / "labels" / "a.tif") > 0, labels > 0)
    assert remark in open_run(tmp_path / "out")["a"].warnings


def test_a_bent_cell_centred_in_another_block_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_blocks(monkeypatch, margin=4)
    labels = np.zeros((192, 192), np.uint16)
    labels[57:60, 57:92] = labels[57:92, 57:60] = 1  # around the corner of the block at (64, 64)
    tifffile.imwrite(tmp_path / "a.tif", image_of(labels))
    result = predict(tmp_path / "a.tif", tmp_path / "out", formats=SOME)
    found = tifffile.imread(tmp_path / "out" / "labels" / "a.tif")
    assert np.array_equal(found > 0, labels > 0)
    assert result.cells == {"a": 1}
    assert not result.remarks


def damaged_tiff(path: Path, labels: np.ndarray) -> tuple[int, int]:
    """A tiled TIFF with a tile that cannot be decoded, and the tile's corner."""
    tifffile.imwrite(path, image_of(labels), tile=(16, 16), compression="deflate")
    with tifffile.TiffFile(path) as tiff:
        page: Any = tiff.pages[0]
        number = 5 * (labels.shape[1] // 16) + 3
        start, count = page.dataoffsets[number], page.databytecounts[number]
    content = bytearray(path.read_bytes())
    content[start : start + count] = b"\xff" * count
    path.write_bytes(content)
    return 5 * 16, 3 * 16


def test_a_damaged_tile_is_reported_and_the_rest_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bigkingxxl.runs.large.damage.SMALLEST", 16)
    labels = field((192, 192), 150)
    row, col = damaged_tiff(tmp_path / "a.tif", labels)
    result = predict(tmp_path / "a.tif", tmp_path / "out", formats=SOME)
    assert not result.failed
    sentence = result.damaged["a"]
    assert f"rows {row} to {row + 15}, columns {col} to {col + 15}" in sentence
    assert str(tmp_path / "a.tif") in sentence
    found = tifffile.imread(tmp_path / "out" / "labels" / "a.tif")
    labels[row : row + 16, col : col + 16] = 0
    assert np.array_equal(found > 0, labels > 0)
    again = predict(tmp_path / "a.tif", tmp_path / "out", formats=SOME)
    assert again.skipped == 1
    assert again.damaged == result.damaged


def other_codec(chunk: Path) -> None:
    chunk.write_bytes(zlib.compress(bytes(16 * 16)))


def truncated(chunk: Path) -> None:
    chunk.write_bytes(chunk.read_bytes()[:-5])


def folder(chunk: Path) -> None:
    chunk.unlink()
    chunk.mkdir()


def pipe(chunk: Path) -> None:
    chunk.unlink()
    os.mkfifo(chunk)


def circular_link(chunk: Path) -> None:
    chunk.unlink()
    chunk.symlink_to(chunk)


def nonsense(chunk: Path) -> None:
    chunk.write_bytes(b"\0\1broken")


DAMAGES = [nonsense, truncated, other_codec, folder, circular_link]


@pytest.mark.parametrize("damage", DAMAGES + ([pipe] if hasattr(os, "mkfifo") else []))
def test_a_damaged_zarr_chunk_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[[Path], None]
) -> None:
    monkeypatch.setattr("bigkingxxl.runs.large.damage.SMALLEST", 16)
    labels = field((128, 128), 80)
    ome_zarr(tmp_path / "a.zarr", image_of(labels), "yx", chunk=16)
    damage(tmp_path / "a.zarr" / "0" / "2" / "3")
    result = predict(tmp_path / "a.zarr", tmp_path / "out", formats=SOME)
    assert "rows 32 to 47, columns 48 to 63" in result.damaged["a"]
    labels[32:48, 48:64] = 0
    found = tifffile.imread(tmp_path / "out" / "labels" / "a.tif")
    assert np.array_equal(found > 0, labels > 0)


class Grows(Blobs):
    """Predicts an image whose file is written to in the meantime."""

    def __init__(self, path: Path, at: int) -> None:
        super().__init__()
        self.path, self.at, self.grown = path, at, False

    def candidates_in(self, source: ImageSource, context: ImageContext) -> Candidates:
        found = super().candidates_in(source, context)
        if self.looks >= self.at and not self.grown:
            self.grown = True
            with self.path.open("ab") as stream:
                stream.write(b"more")
        return found


def test_an_image_that_grows_while_read_fails_and_is_repeated(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, image_of(field((192, 192), 100)))
    result = predict(path, tmp_path / "out", formats=SOME, predictor=Grows(path, 8))
    assert "changed while it was read" in result.failed["a"]
    assert not (tmp_path / "out" / "labels" / "a.tif").exists()
    again = predict(path, tmp_path / "out", formats=SOME)
    assert not again.failed
    assert again.cells["a"] > 50


def test_a_full_disk_ends_the_run_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, image_of(field((192, 192), 100)))

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("tifffile.imwrite", full)
        with refused(OutputError):
            predict(path, tmp_path / "out", formats=SOME)
    again = Blobs()
    assert not predict(path, tmp_path / "out", formats=SOME, predictor=again).failed
    assert again.looks == 0


def ome_zarr(path: Path, pixels: np.ndarray, axes: str, chunk: int = 64) -> None:
    """An OME-Zarr 0.4 of one level."""
    group = zarr.open_group(path, mode="w", zarr_format=2)
    chunks = (*(1,) * (pixels.ndim - 2), chunk, chunk)
    group.create_array("0", data=pixels, chunks=chunks,
                       chunk_key_encoding={"name": "v2", "separator": "/"})  # fmt: skip
    kinds = {"t": "time", "c": "channel"}
    group.attrs["multiscales"] = [{
        "version": "0.4",
        "axes": [{"name": each, "type": kinds.get(each, "space")} for each in axes],
        "datasets": [{"path": "0", "coordinateTransformations": [
            {"type": "scale", "scale": [1.0] * pixels.ndim}]}],
    }]  # fmt: skip


def test_an_ome_zarr_of_floats_and_five_axes_is_done_frame_by_frame(tmp_path: Path) -> None:
    frames = [field((128, 128), 60, seed) for seed in (0, 1)]
    pixels = np.stack([image_of(each) / np.float32(1000) for each in frames])
    pixels = pixels[:, None, None].astype(np.float32)

    class Dim(Blobs):
        def image_context(self, source: ImageSource) -> ImageContext:
            return {"threshold": float(source.statistics.percentile(50.0)[0]) + 0.05}

    ome_zarr(tmp_path / "a.zarr", pixels, "tczyx")
    result = predict(tmp_path / "a.zarr", tmp_path / "out", formats=SOME, predictor=Dim())
    assert not result.failed
    for number, labels in enumerate(frames):
        found = tifffile.imread(tmp_path / "out" / "labels" / f"a_t00{number}.tif")
        assert np.array_equal(found > 0, labels > 0)


def test_an_ome_zarr_without_multiscales_is_refused_in_a_sentence(tmp_path: Path) -> None:
    zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    result = predict(tmp_path / "a.zarr", tmp_path / "out", formats=SOME)
    assert "multiscales" in result.failed["a"]


def test_formats_that_hold_a_whole_image_are_left_out_with_a_word(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", image_of(field((128, 128), 40)))
    result = predict(tmp_path / "a.tif", tmp_path / "out", formats=("labels", "cellpose"))
    assert any("'cellpose'" in remark for remark in result.remarks["a"])
    assert not (tmp_path / "out" / "cellpose").exists()


def test_a_table_that_no_image_can_be_in_is_not_written(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", image_of(field((128, 128), 40)))
    out = tmp_path / "out"
    predict(tmp_path / "a.tif", out, formats=("labels",))
    for again in (False, True):
        if again:  # as earlier versions left it
            store = RunStore(out)
            record = Record("", "results.json", "", None, None, "key")
            store.write_table(record, store.find_table("results.json"), _write_nothing)
        result = predict(tmp_path / "a.tif", out, formats=("coco", "cellpose"))
        assert result.tables.too_large == {"coco": ["a"]}
        assert result.tables.unwritten == [out / "results.json"]
        assert result.tables.incomplete == {}
        assert not (out / "results.json").exists()
        (remark,) = result.remarks["a"]  # also where only the labels had been made before
        assert "'coco'" in remark
        assert "'cellpose'" in remark
    assert finish_run(out, ["coco"]).tables.too_large == {"coco": ["a"]}
    assert any("a:" in each and "results.json" in each for each in notes(out, result))
    assert not (out / "results.json").exists()
    (out / "results.json").write_text("mine")
    kept = predict(tmp_path / "a.tif", out, formats=("coco",))
    assert kept.kept == [out / "results.json"]
    assert kept.tables.unwritten == []


def _write_nothing(path: Path) -> None:
    path.write_text("[]\n", encoding="utf-8")


def test_a_table_holds_the_images_that_are_small_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bigkingxxl.runs.large.grid.ABOVE", 100 * 100)
    (tmp_path / "in").mkdir()
    for name, side in (("large", 128), ("small", 64)):
        tifffile.imwrite(tmp_path / "in" / f"{name}.tif", image_of(field((side, side), 20)))
    out = tmp_path / "out"
    result = predict(tmp_path / "in", out, formats=("coco", "submission"))
    assert result.tables.too_large == {"coco": ["large"]}
    assert result.tables.incomplete == {}
    assert result.tables.unwritten == []
    entries = json.loads((out / "results.json").read_bytes())
    assert {each["image_id"] for each in entries} == {"small"}
    (out / "parts" / "coco" / "small.json").unlink()
    assert finish_run(out).tables.incomplete == {"coco": 1}


def test_a_blank_image_and_one_without_cells(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    tifffile.imwrite(tmp_path / "in" / "blank.tif", np.full((128, 128), 7, np.uint8))
    tifffile.imwrite(tmp_path / "in" / "empty.tif", image_of(np.zeros((128, 128), np.uint16)))
    result = predict(tmp_path / "in", tmp_path / "out")
    assert not result.failed
    assert result.cells == {"blank": 0, "empty": 0}
    assert not tifffile.imread(tmp_path / "out" / "labels" / "empty.tif").any()
    assert not open_image(tmp_path / "out" / "labels" / "empty.zarr").read().any()
    lines = (tmp_path / "out" / "submission.csv").read_text().splitlines()
    assert lines == ["id,predicted", "blank,", "empty,"]


def test_a_run_is_read_in_python(tmp_path: Path) -> None:
    labels = field((128, 128), 60)
    tifffile.imwrite(tmp_path / "a.tif", image_of(labels))
    predict(tmp_path / "a.tif", tmp_path / "out", formats=SOME)
    image = open_run(tmp_path / "out")["a"]
    written = tifffile.imread(tmp_path / "out" / "labels" / "a.tif")
    assert image.is_large
    assert np.array_equal(image.label_map(), written)
    assert image.measurements()["area"].tolist() == np.bincount(written.ravel())[1:].tolist()

"""A kill costs only the block in progress; the results equal those of an uninterrupted run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from bigkingxxl.runs.selection import Selection
from tests.runs.large.blobs import (
    Blobs,
    contents,
    field,
    image_of,
    points,
    predict,
    small_blocks,
)

SIZE = (150, 200)  # 3 x 4 blocks
SOME = ("labels", "measurements", "qupath", "imagej", "summary")
ROOT = Path(__file__).parents[3]


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "large.tif"
    tifffile.imwrite(path, image_of(field(SIZE, 120)))
    return path


def start(image: Path, out: Path, *options: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.runs.large.blobs", str(image), str(out),
               "--formats", ",".join(SOME), *options]  # fmt: skip
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE)


def ended(process: subprocess.Popen[bytes]) -> int:
    process.communicate(timeout=300)
    return process.returncode


def test_a_kill_costs_the_block_at_work(
    tmp_path: Path, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_blocks(monkeypatch)
    predict(image, tmp_path / "unbroken", formats=SOME)
    assert ended(start(image, tmp_path / "broken", "--die", "11")) == -9
    assert not (tmp_path / "broken" / "labels").exists()
    done = len(list((tmp_path / "broken").glob("blocks/*/*/found/*.npz")))
    assert done >= 5
    again = Blobs()
    result = predict(image, tmp_path / "broken", formats=SOME, predictor=again)
    assert not result.failed
    assert again.looks <= 12 - done + 2  # a block may have been predicted twice
    assert contents(tmp_path / "broken") == contents(tmp_path / "unbroken")


@pytest.mark.parametrize("moment", ["settled", "parts", "join"])
def test_files_broken_off_are_written_to_the_end(
    tmp_path: Path, image: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Killed while settling seams, or writing or joining parts; no block is predicted again."""
    small_blocks(monkeypatch)
    predict(image, tmp_path / "unbroken", formats=SOME)

    class EndError(BaseException):
        pass

    with monkeypatch.context() as patch:
        calls = {
            "settled": ("bigkingxxl.runs.large.image.settled", 4),
            "parts": ("bigkingxxl.runs.large.formats.encoded_tile", 40),
            "join": ("bigkingxxl.runs.large.formats.write_label_tiles", 1),
        }
        name, count = calls[moment]
        module, function = name.rsplit(".", 1)
        real = getattr(sys.modules[module], function)
        left = [count]

        def counted(*args: object, **more: object) -> object:
            left[0] -= 1
            if left[0] <= 0:
                raise EndError
            return real(*args, **more)

        patch.setattr(name, counted)
        with pytest.raises(EndError):
            predict(image, tmp_path / "broken", formats=SOME)
    again = Blobs()
    predict(image, tmp_path / "broken", formats=SOME, predictor=again)
    assert again.looks == 0
    assert contents(tmp_path / "broken") == contents(tmp_path / "unbroken")


def test_two_processes_share_the_blocks_of_an_image(
    tmp_path: Path, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_blocks(monkeypatch)
    predict(image, tmp_path / "one", formats=SOME)
    both = [start(image, tmp_path / "two", "--slow", "0.3") for _ in range(2)]
    assert [ended(each) for each in both] == [0, 0]
    assert contents(tmp_path / "two") == contents(tmp_path / "one")


def test_another_selection_predicts_nothing_again(
    tmp_path: Path, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_blocks(monkeypatch)
    first = predict(image, tmp_path / "out", formats=SOME)
    strict = Selection(points(), min_area=60.0, exclude_border=True)
    again = Blobs()
    second = predict(image, tmp_path / "out", formats=SOME, predictor=again, selection=strict)
    assert again.looks == 0
    assert 0 < second.cells["large"] < first.cells["large"]
    labels = tifffile.imread(tmp_path / "out" / "labels" / "large.tif")
    assert np.bincount(labels.ravel())[1:].min() >= 60
    edge = np.concatenate((labels[0], labels[-1], labels[:, 0], labels[:, -1]))
    assert not edge.any()


def test_a_zarr_whose_chunks_were_moved_away_is_made_again(
    tmp_path: Path, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after a Zarr was joined and before it was moved into place."""
    small_blocks(monkeypatch)
    predict(image, tmp_path / "one", formats=("zarr",))

    def end(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("shutil.move", end)
        with pytest.raises(KeyboardInterrupt):
            predict(image, tmp_path / "two", formats=("zarr",))
    predict(image, tmp_path / "two", formats=("zarr",))
    assert contents(tmp_path / "two") == contents(tmp_path / "one")

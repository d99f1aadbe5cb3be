"""Shards are disjoint and together are the whole."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner

from bigkingxxl.cli import main
from bigkingxxl.errors import InputError
from bigkingxxl.runs.finish import finish_run
from bigkingxxl.runs.shards import (
    FEW_FILES,
    Shard,
    Unfinished,
    begin_shard,
    end_shard,
    unfinished,
)
from bigkingxxl.runs.store import RunStore
from tests.runs.test_store import ended, start
from tests.threshold import Threshold, pixels, results, run, save_images

COUNTS = (3, 12, 0, 7, 1, 5, 2)


@given(count=st.integers(1, 40), files=st.sampled_from([1, 7, FEW_FILES, FEW_FILES + 1]),
       data=st.data())  # fmt: skip
def test_each_unit_is_of_one_shard(count: int, files: int, data: st.DataObject) -> None:
    file = data.draw(st.integers(0, files - 1))
    image, block = data.draw(st.integers(0, 50)), data.draw(st.integers(0, 50))
    shards = [Shard(number, count) for number in range(1, count + 1)]
    having = [each for each in shards if each.has_unit(file, files, image, block)]
    assert len(having) == 1
    assert having[0].may_open(file, files)


def test_images_of_few_files_are_spread_evenly() -> None:
    sizes = [sum(Shard(number, 7).has_unit(0, 1, image) for image in range(700))
             for number in range(1, 8)]  # fmt: skip
    assert sizes == [100] * 7


@pytest.mark.parametrize(
    "text", ["0/4", "5/4", "1/0", "3", "a/b", "", "-1/4", "1/4/2", "1.5/4", "1/999999999"]
)
def test_invalid_shards_are_refused(text: str) -> None:
    with pytest.raises(InputError):
        Shard.of(text)


def test_shards_are_read() -> None:
    assert Shard.of(" 3/16 ") == Shard(3, 16)
    assert str(Shard(3, 16)) == "3/16"


def test_shards_one_by_one_are_the_whole_run(tmp_path: Path) -> None:
    images = save_images(tmp_path / "images", COUNTS)
    run(images, tmp_path / "alone")
    asked: list[str] = []
    for number in (2, 3, 1):
        predictor = Threshold()
        part = run(images, tmp_path / "out", predictor=predictor, shard=Shard(number, 3))
        asked += predictor.asked
        assert part.is_part
        lacking = finish_run(tmp_path / "out").tables.unfinished
        assert number not in lacking.numbers
        assert (lacking.numbers == ()) == (number == 1)
    assert sorted(asked) == sorted(path.stem for path in images)
    assert results(tmp_path / "out") == results(tmp_path / "alone")


def test_a_file_of_another_kind_replaces_the_old_results(tmp_path: Path) -> None:
    image = tmp_path / "images" / "i00.tif"
    image.parent.mkdir()
    image.write_bytes(b"no image")
    assert run([image], tmp_path / "out", shard=Shard(1, 2)).failed
    tifffile.imwrite(image, np.stack([pixels(1), pixels(2)]), photometric="minisblack",
                     metadata={"axes": "TYX"})  # fmt: skip
    for number in (1, 2):
        assert not run([image], tmp_path / "out", shard=Shard(number, 2)).failed
    found = finish_run(tmp_path / "out")
    assert (len(found.cells), found.failed) == (2, {})


def test_shards_that_have_not_ended_are_known(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    assert unfinished(store, "r") == Unfinished()
    for number in (1, 2, 3):
        begin_shard(store, "r", Shard(number, 4), "files")
    end_shard(store, "r", Shard(2, 4), "files")
    assert unfinished(store, "r") == Unfinished((1, 3, 4), 4)
    assert unfinished(store, "another") == Unfinished()
    for number in (1, 2):
        end_shard(store, "r", Shard(number, 2), "files")
    assert unfinished(store, "r").numbers == ()  # one way of sharding is enough
    end_shard(store, "r", Shard(), "files")
    assert unfinished(store, "r") == Unfinished()


def test_tables_name_the_shards_that_are_missing(tmp_path: Path) -> None:
    images = save_images(tmp_path / "images", COUNTS)
    run(images, tmp_path / "out", shard=Shard(2, 3))
    told = CliRunner().invoke(main.app, ["tables", str(tmp_path / "out")])
    assert told.exit_code == 75, told.output
    assert "1/3" in told.stderr
    assert "3/3" in told.stderr
    assert (tmp_path / "out" / "summary.csv").is_file()


def test_shards_that_divided_other_files_are_to_be_done_again(tmp_path: Path) -> None:
    images, out = save_images(tmp_path / "images", COUNTS), tmp_path / "out"
    run(images, out, shard=Shard(1, 2))
    added = images[0].with_name("a.png")
    Image.fromarray(pixels(2)).save(added)
    more = [added, *images]
    run(more, out, shard=Shard(2, 2))
    assert finish_run(out).tables.unfinished == Unfinished((1,), 2, (1,))
    run(more, out, shard=Shard(1, 2))
    found = finish_run(out)
    assert found.tables.unfinished.numbers == ()
    assert set(found.cells) == {path.stem for path in more}


def test_no_run_and_no_images_have_no_tables(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        finish_run(tmp_path)
    run([], tmp_path / "out")
    with pytest.raises(InputError):
        finish_run(tmp_path / "out")


def test_two_shards_at_once_in_one_folder(tmp_path: Path) -> None:
    images = save_images(tmp_path / "images", COUNTS)
    run(images, tmp_path / "alone")
    both: list[subprocess.Popen[str]] = [
        start(images[0].parent, tmp_path / "out", "--shard", f"{number}/2", "--slow", "0.02")
        for number in (1, 2)
    ]
    assert [ended(each) for each in both] == [0, 0]
    finish_run(tmp_path / "out")
    assert results(tmp_path / "out") == results(tmp_path / "alone")

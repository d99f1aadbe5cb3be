"""Outputs appear whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from bigkingxxl.errors import OutputError
from bigkingxxl.files import (
    check_same_kind,
    clear_temporaries,
    file_hash,
    make_folder,
    temporary_beside,
    whole_file,
    write_bytes,
    write_json,
    write_text,
)
from tests.refusals import refused
from tests.support import disk_full_after


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


# ---- whole files -------------------------------------------------------------------------------


def test_a_file_appears_when_its_block_has_succeeded(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "table.csv"
    with whole_file(path) as temporary:
        assert temporary.suffix == ".csv"
        temporary.write_text("half", encoding="utf-8")
        assert not path.exists()
        temporary.write_text("whole", encoding="utf-8")
    assert path.read_text(encoding="utf-8") == "whole"
    assert names(path.parent) == ["table.csv"]


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), SystemExit(3)])
def test_a_block_that_fails_leaves_everything_as_it_was(
    tmp_path: Path, error: BaseException
) -> None:
    path = tmp_path / "scores.json"
    path.write_text("old", encoding="utf-8")
    with pytest.raises(type(error)), whole_file(path) as temporary:
        temporary.write_text("half", encoding="utf-8")
        raise error
    assert path.read_text(encoding="utf-8") == "old"
    assert names(tmp_path) == ["scores.json"]


def test_a_folder_is_moved_and_removed_like_a_file(tmp_path: Path) -> None:
    with whole_file(tmp_path / "labels") as temporary:
        temporary.mkdir()
        (temporary / "a.tif").write_bytes(b"1")
    assert (tmp_path / "labels" / "a.tif").read_bytes() == b"1"
    with pytest.raises(ValueError, match="no"), whole_file(tmp_path / "other") as temporary:
        temporary.mkdir()
        (temporary / "a.tif").write_bytes(b"1")
        raise ValueError("no")
    assert names(tmp_path) == ["labels"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES])
def test_a_full_disk_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    path = tmp_path / "submission.csv"

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    with refused(OutputError, file=path) as caught, whole_file(path):
        refuse()
    assert str(path) in str(caught.value)
    monkeypatch.setattr(os, "replace", refuse)
    with refused(OutputError, file=path):
        write_text(path, "id,predicted\n")
    assert names(tmp_path) == []


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="Linux alone has /proc")
def test_a_file_system_that_takes_no_files_is_named_by_the_file() -> None:
    with refused(OutputError, file=Path("/proc/scores.csv")):
        write_text(Path("/proc/scores.csv"), "id")


def test_a_disk_that_fills_up_half_way_leaves_nothing(tmp_path: Path) -> None:
    """The operating system itself refuses to write on, in the middle of a file."""
    with disk_full_after(10_000), refused(OutputError, file="big.bin"):
        write_bytes(tmp_path / "big.bin", bytes(1_000_000))
    assert names(tmp_path) == []


def test_a_file_in_place_of_a_folder_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    (tmp_path / "folder" / "inside").mkdir(parents=True)
    for path in (tmp_path / "file" / "out.json", tmp_path / "folder", tmp_path / ("n" * 300)):
        with refused(OutputError, file=path):
            write_json(path, {})
    with (
        refused(OutputError, file="folder"),
        whole_file(tmp_path / "folder") as temporary,
    ):
        temporary.write_text("x", encoding="utf-8")
    assert names(tmp_path) == ["file", "folder"]
    with refused(OutputError, file="file"):
        make_folder(tmp_path / "file")
    assert make_folder(tmp_path / "a" / "b") == make_folder(tmp_path / "a" / "b")


@pytest.mark.parametrize("inside", [".", "run/labels"])
def test_a_link_to_a_folder_that_is_not_there_is_named(tmp_path: Path, inside: str) -> None:
    link, target = tmp_path / "out", tmp_path / "disk" / "cells"
    link.symlink_to(target, target_is_directory=True)
    with refused(OutputError, target, file=link, expected=target):
        make_folder(link / inside)
    with refused(OutputError, target, file=link, expected=target), whole_file(link / inside / "a"):
        pass
    target.mkdir(parents=True)
    assert make_folder(link / inside).is_dir()


def test_an_error_of_reading_is_not_called_one_of_writing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), whole_file(tmp_path / "out.txt"):
        (tmp_path / "missing.txt").read_bytes()


def test_text_and_json_are_utf8_with_plain_line_ends(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "µm\n")
    assert (tmp_path / "a.txt").read_bytes() == "µm\n".encode()
    value = {"b": [1, 2.5, None], "a": Path("x")}
    write_json(tmp_path / "a.json", value)
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"b": [1, 2.5, None], "a": "x"}
    assert text.endswith("}\n")
    assert list(json.loads(text)) == ["b", "a"]


def test_file_hash_is_sha256(tmp_path: Path) -> None:
    content = os.urandom(100_000)
    (tmp_path / "a").write_bytes(content)
    assert file_hash(tmp_path / "a") == hashlib.sha256(content).hexdigest()


# ---- what is in the way, and what the dead left --------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_or_a_device_is_never_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "null").symlink_to("/dev/null")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "folder").symlink_to(tmp_path / "elsewhere")
    for name, kind in (("pipe", "a pipe"), ("null", "a device"), ("folder", "a link to a folder")):
        with pytest.raises(OutputError, match=f"{name} is {kind}"):
            write_text(tmp_path / name, "x")
    assert names(tmp_path) == ["elsewhere", "folder", "null", "pipe"]
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_a_name_of_255_bytes_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 251 + ".csv")
    write_text(path, "x")
    assert path.read_text() == "x"


def test_only_files_of_dead_processes_are_removed(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from bigkingxxl.files import temporary_beside\n"
        "temporary_beside(Path(sys.argv[1])).write_bytes(b'x')"
    )
    for place in (tmp_path / "a.tif", tmp_path / "deep" / "b.tif"):
        place.parent.mkdir(exist_ok=True)
        subprocess.run([sys.executable, "-c", code, str(place)], check=True)
    living = temporary_beside(tmp_path / "c.tif")
    other = tmp_path / ".012345-1-0.part.tif"
    old = tmp_path / ".012345-1-1.part.tif"
    for path in (living, other, old, tmp_path / ".x.part.tif"):
        path.write_bytes(b"x")
    os.utime(old, (0, 0))
    assert clear_temporaries(tmp_path) == 2
    assert clear_temporaries(tmp_path, recursive=True) == 1
    assert names(tmp_path) == sorted([living.name, other.name, ".x.part.tif", "deep"])
    assert names(tmp_path / "deep") == []


@pytest.mark.parametrize("place", ["/", ".", ".."])
def test_a_folder_that_has_no_name_is_no_place_for_a_file(place: str) -> None:
    with refused(OutputError, file=Path(place)), whole_file(Path(place)):
        pytest.fail("nothing may be written")


# ---- files of another kind ---------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"id,score\n1,2\n", None])
def test_earlier_results_and_empty_files_may_be_replaced(
    tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "scores.csv"
    if content is not None:
        path.write_bytes(content)
    check_same_kind(path, "id,score", "a table")
    check_same_kind(tmp_path, "id,score", "a table")  # a folder is refused when it is written


@pytest.mark.parametrize("content", [b"II*\x00", b"id,fold\n1,2\n", b"i"])
def test_files_of_another_kind_are_not_replaced(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "scores.csv"
    path.write_bytes(content)
    with pytest.raises(OutputError) as caught:
        check_same_kind(path, "id,score", "a table")
    assert caught.value.file == path

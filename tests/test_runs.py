"""Outputs appear whole or not at all; a manifest resumes what it recorded."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import resource
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigkingxxl import __version__, runs
from bigkingxxl.errors import OutputError


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


# ---- whole files -------------------------------------------------------------------------------


def test_a_file_appears_when_its_block_has_succeeded(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "table.csv"
    with runs.whole_file(path) as temporary:
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
    with pytest.raises(type(error)), runs.whole_file(path) as temporary:
        temporary.write_text("half", encoding="utf-8")
        raise error
    assert path.read_text(encoding="utf-8") == "old"
    assert names(tmp_path) == ["scores.json"]


def test_a_folder_is_moved_and_removed_like_a_file(tmp_path: Path) -> None:
    with runs.whole_file(tmp_path / "labels") as temporary:
        temporary.mkdir()
        (temporary / "a.tif").write_bytes(b"1")
    assert (tmp_path / "labels" / "a.tif").read_bytes() == b"1"
    with pytest.raises(ValueError, match="no"), runs.whole_file(tmp_path / "other") as temporary:
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

    with pytest.raises(OutputError, match=os.strerror(number)) as caught, runs.whole_file(path):
        refuse()
    assert str(path) in str(caught.value)
    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OutputError, match=os.strerror(number)):
        runs.write_text(path, "id,predicted\n")
    assert names(tmp_path) == []


def test_a_disk_that_fills_up_half_way_leaves_nothing(tmp_path: Path) -> None:
    """The operating system itself refuses to write on, in the middle of a file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(OutputError, match="cannot be written"):
            runs.write_bytes(tmp_path / "big.bin", bytes(1_000_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert names(tmp_path) == []


def test_where_a_file_is_in_the_way_one_sentence_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    (tmp_path / "folder" / "inside").mkdir(parents=True)
    for path in (tmp_path / "file" / "out.json", tmp_path / "folder", tmp_path / ("n" * 300)):
        with pytest.raises(OutputError, match="cannot be written"):
            runs.write_json(path, {})
    with (
        pytest.raises(OutputError, match="cannot be written"),
        runs.whole_file(tmp_path / "folder") as temporary,
    ):
        temporary.mkdir()
    assert names(tmp_path) == ["file", "folder"]
    with pytest.raises(OutputError, match="cannot be made a folder"):
        runs.make_folder(tmp_path / "file")
    assert runs.make_folder(tmp_path / "a" / "b") == runs.make_folder(tmp_path / "a" / "b")


def test_an_error_of_reading_is_not_called_one_of_writing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), runs.whole_file(tmp_path / "out.txt"):
        (tmp_path / "missing.txt").read_bytes()


def test_text_and_json_are_utf8_with_plain_line_ends(tmp_path: Path) -> None:
    runs.write_text(tmp_path / "a.txt", "µm\n")
    assert (tmp_path / "a.txt").read_bytes() == "µm\n".encode()
    value = {"b": [1, 2.5, None], "a": Path("x")}
    runs.write_json(tmp_path / "a.json", value)
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"b": [1, 2.5, None], "a": "x"}
    assert text.endswith("}\n")
    assert list(json.loads(text)) == ["b", "a"]


# ---- what made a result ------------------------------------------------------------------------


def test_provenance_names_versions_seed_and_command() -> None:
    found = runs.provenance(seed=7)
    assert found["seed"] == 7
    assert found["versions"]["numpy"]
    assert set(found) == {"date", "command", "device", "versions", "seed"}
    assert runs.versions()["python"].startswith("3.")
    assert runs.versions().get("bigkingxxl", __version__) == __version__


def test_the_machine_names_its_gpu_where_torch_is_at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = SimpleNamespace(is_available=lambda: True, get_device_name=lambda: "A Card")
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    assert runs.device().endswith(f"{os.cpu_count()} cores, A Card")
    monkeypatch.delitem(sys.modules, "torch")
    assert runs.device().endswith("cores")
    assert "torch" not in sys.modules


def test_file_hash_is_sha256(tmp_path: Path) -> None:
    content = os.urandom(100_000)
    (tmp_path / "a").write_bytes(content)
    assert runs.file_hash(tmp_path / "a") == hashlib.sha256(content).hexdigest()


@given(st.lists(st.text(max_size=4), max_size=4), st.lists(st.text(max_size=4), max_size=4))
def test_a_fingerprint_tells_any_two_lists_apart(first: list[str], second: list[str]) -> None:
    """Also ('ab', 'c') from ('a', 'bc')."""
    same = runs.fingerprint(first) == runs.fingerprint(second)
    assert same == (first == second)
    assert runs.fingerprint(first) == runs.fingerprint(part.encode() for part in first)


# ---- manifest ----------------------------------------------------------------------------------


def test_a_manifest_resumes_under_the_same_key_only(tmp_path: Path) -> None:
    path = tmp_path / "manifest.jsonl"
    first = runs.Manifest(path, "key")
    assert not first.complete("a")
    first.record("a", {"file": "a.tif"})
    assert runs.Manifest(path, "key").complete("a")
    assert not runs.Manifest(path, "key").complete("b")
    assert not runs.Manifest(path, "other").complete("a")


def test_an_item_whose_output_is_gone_is_not_complete(tmp_path: Path) -> None:
    manifest = runs.Manifest(tmp_path / "manifest.jsonl", "key")
    manifest.record("a", str(tmp_path / "a.tif"))

    def is_there(name: str) -> bool:
        return Path(name).is_file()

    assert not manifest.complete("a", is_there)
    (tmp_path / "a.tif").write_bytes(b"")
    assert manifest.complete("a", is_there)


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "7", '"text"', "\xff", '{"key": "other"}\n{"item": "b", "result": 1}\n'],
)
def test_a_damaged_manifest_starts_afresh(tmp_path: Path, content: str) -> None:
    path = tmp_path / "manifest.jsonl"
    path.write_bytes(content.encode("latin-1"))
    manifest = runs.Manifest(path, "key")
    assert manifest.done == {}
    manifest.record("a", 1)
    assert runs.Manifest(path, "key").done == {"a": 1}


def test_a_line_is_appended_for_each_item(tmp_path: Path) -> None:
    """What is there is not written again: a hundred thousand images stay as cheap as ten."""
    path = tmp_path / "manifest.jsonl"
    manifest = runs.Manifest(path, "key")
    manifest.record("a", {"cells": 1})
    file, before = path.stat().st_ino, path.read_bytes()
    for number in range(20):
        manifest.record(f"image {number}", {"cells": number})
    manifest.record("a", {"cells": 2})
    manifest.forget("image 3")
    manifest.forget("never there")
    assert path.stat().st_ino == file
    lines = path.read_bytes().removeprefix(before).splitlines()
    assert len(lines) == 22
    assert json.loads(lines[0]) == {"item": "image 0", "result": {"cells": 0}}
    assert runs.Manifest(path, "key").done == manifest.done
    assert manifest.done["a"] == {"cells": 2}
    assert "image 3" not in manifest.done


def test_wherever_a_crash_cuts_the_manifest_whole_lines_hold(tmp_path: Path) -> None:
    path = tmp_path / "manifest.jsonl"
    whole = runs.Manifest(path, "key")
    for name in ("a", "ü", "c"):
        whole.record(name, [name])
    content = path.read_bytes()
    for stop in range(len(content)):
        path.write_bytes(content[:stop])
        kept = content[:stop].count(b"\n") - 1
        # A line that lacks its end alone is whole as well.
        kept += content[stop : stop + 1] == b"\n" and stop > content.index(b"\n")
        found = runs.Manifest(path, "key")
        assert list(found.done) == ["a", "ü", "c"][: max(kept, 0)]
        found.record("d", 4)
        again = runs.Manifest(path, "key")
        assert again.done == found.done
        assert again.done["d"] == 4


def test_a_disk_that_fills_up_leaves_no_half_line(tmp_path: Path) -> None:
    path = tmp_path / "manifest.jsonl"
    manifest = runs.Manifest(path, "key")
    manifest.record("a", "x" * 8000)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(OutputError, match="cannot be written"):
            manifest.record("b", "x" * 8000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(runs.Manifest(path, "key").done) == ["a"]
    manifest.record("c", 3)
    assert list(runs.Manifest(path, "key").done)[-1] == "c"

"""A manifest resumes what it recorded."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bigkingxxl.errors import OutputError
from bigkingxxl.manifest import Manifest
from tests.refusals import refused
from tests.support import disk_full_after


def test_a_manifest_resumes_under_the_same_key_only(tmp_path: Path) -> None:
    path = tmp_path / "manifest.jsonl"
    first = Manifest(path, "key")
    assert not first.complete("a")
    first.record("a", {"file": "a.tif"})
    assert Manifest(path, "key").complete("a")
    assert not Manifest(path, "key").complete("b")
    assert not Manifest(path, "other").complete("a")


def test_an_item_whose_output_is_gone_is_not_complete(tmp_path: Path) -> None:
    manifest = Manifest(tmp_path / "manifest.jsonl", "key")
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
    manifest = Manifest(path, "key")
    assert manifest.done == {}
    manifest.record("a", 1)
    assert Manifest(path, "key").done == {"a": 1}


def test_a_line_is_appended_for_each_item(tmp_path: Path) -> None:
    """Existing lines are not written again: a hundred thousand images stay as cheap as ten."""
    path = tmp_path / "manifest.jsonl"
    manifest = Manifest(path, "key")
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
    assert Manifest(path, "key").done == manifest.done
    assert manifest.done["a"] == {"cells": 2}
    assert "image 3" not in manifest.done


def test_complete_lines_survive_a_crash_anywhere(tmp_path: Path) -> None:
    path = tmp_path / "manifest.jsonl"
    whole = Manifest(path, "key")
    for name in ("a", "ü", "c"):
        whole.record(name, [name])
    content = path.read_bytes()
    for stop in range(len(content)):
        path.write_bytes(content[:stop])
        kept = content[:stop].count(b"\n") - 1
        # A line that lacks only its line end is complete as well.
        kept += content[stop : stop + 1] == b"\n" and stop > content.index(b"\n")
        found = Manifest(path, "key")
        assert list(found.done) == ["a", "ü", "c"][: max(kept, 0)]
        found.record("d", 4)
        again = Manifest(path, "key")
        assert again.done == found.done
        assert again.done["d"] == 4


def test_a_disk_that_fills_up_leaves_no_half_line(tmp_path: Path) -> None:
    path = tmp_path / "manifest.jsonl"
    manifest = Manifest(path, "key")
    manifest.record("a", "x" * 8000)
    with disk_full_after(10_000), refused(OutputError, file=path):
        manifest.record("b", "x" * 8000)
    assert list(Manifest(path, "key").done) == ["a"]
    manifest.record("c", 3)
    assert list(Manifest(path, "key").done)[-1] == "c"


def test_several_processes_keep_one_manifest(tmp_path: Path) -> None:
    """Each began before the other had written anything."""
    path = tmp_path / "manifest.jsonl"
    one, two = Manifest(path, "key"), Manifest(path, "key")
    for number in range(5):
        one.record(f"one {number}", number)
        two.record(f"two {number}", number)
    one.forget("one 3")
    found = Manifest(path, "key").done
    assert sorted(found) == sorted(
        [f"one {number}" for number in (0, 1, 2, 4)] + [f"two {number}" for number in range(5)]
    )


def test_records_of_another_key_are_ignored(tmp_path: Path) -> None:
    path = tmp_path / "manifest.jsonl"
    one = Manifest(path, "one")
    one.record("a", 1)
    Manifest(path, "two").record("b", 2)
    one.record("c", 3)
    assert Manifest(path, "one").done == {"a": 1, "c": 3}
    assert Manifest(path, "two").done == {}


def test_two_processes_at_once(tmp_path: Path) -> None:
    path = tmp_path / "manifest.jsonl"
    code = (
        "import sys; from pathlib import Path; from bigkingxxl.manifest import Manifest\n"
        "manifest = Manifest(Path(sys.argv[1]), 'key')\n"
        "for number in range(200): manifest.record(f'{sys.argv[2]} {number}', number)\n"
    )
    both = [subprocess.Popen([sys.executable, "-c", code, str(path), name]) for name in "ab"]
    assert [each.wait(60) for each in both] == [0, 0]
    assert len(Manifest(path, "key").done) == 400

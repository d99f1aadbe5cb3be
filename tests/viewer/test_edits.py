"""Edits: accepted where they fit, on disk before they are answered, and never lost."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bigkingxxl.io.annotations.label_images import read_label_image
from bigkingxxl.runs.reader import open_run
from bigkingxxl.viewer.server.journal import Journal
from tests.threshold import results, squares
from tests.viewer.window import ORIGIN, PORT, Server, Window, random_change

ROOT = Path(__file__).parents[2]


def labels_of(folder: Path, name: str = "i00") -> Any:
    return read_label_image(folder / "corrections" / "labels" / f"{name}.tif")


def test_a_stroke_is_in_the_label_image_and_the_prediction_is_as_it_was(
    server: Server, run_folder: Path
) -> None:
    before = results(run_folder)
    window = Window(server, server.keys["i00"])
    window.paint((30, 10, 34, 20), window.next_cell)
    server.session.store.flush()
    expected = squares(3)
    expected[30:34, 10:20] = 4
    np.testing.assert_array_equal(labels_of(run_folder), expected)
    after = results(run_folder)
    assert {name: after[name] for name in before} == before
    notes = json.loads((run_folder / "corrections" / "cells" / "i00.json").read_text())
    assert notes["cells"]["origin"] == ["model", "model", "model", "drawn"]


def test_a_random_walk_replays_to_the_same_cells(run_folder: Path) -> None:
    random = np.random.default_rng(7)
    with Server(run_folder) as server:
        window = Window(server, server.keys["i01"])
        for _ in range(400):
            random_change(window, random)
        reader = Window(server, window.key)
        np.testing.assert_array_equal(reader.labels, window.labels)
        assert reader.cells == window.cells
        journal = Journal(run_folder / "corrections", "i01")
        start = journal.start()
        for past in journal.edits():
            start.check(past.edit)
            start.apply(past.edit)
        np.testing.assert_array_equal(start.labels, window.labels)
        assert (start.revision, start.done) == (window.revision, window.done)
    with Server(run_folder) as server:  # another process, later
        again = Window(server, window.key)
    np.testing.assert_array_equal(again.labels, window.labels)
    np.testing.assert_array_equal(again.reviewed, window.reviewed)
    assert (again.cells, again.revision) == (window.cells, window.revision)
    np.testing.assert_array_equal(labels_of(run_folder, "i01"), window.labels)


def test_an_intermediate_state_changes_nothing(
    run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bigkingxxl.viewer.server.document_store.STATE_EVERY", 3)
    with Server(run_folder) as server:
        window = Window(server, server.keys["i00"])
        for number in range(4, 12):
            window.paint((30, 5 * number - 20, 33, 5 * number - 17), number)
            server.session.store.flush()
    journal = Journal(run_folder / "corrections", "i00")
    assert journal.state_path.is_file()
    np.testing.assert_array_equal(journal.load(repair=False).labels, window.labels)
    journal.state_path.write_bytes(b"damaged")
    np.testing.assert_array_equal(journal.load(repair=False).labels, window.labels)


def test_an_edit_cut_short_by_a_crash_is_ignored(run_folder: Path) -> None:
    with Server(run_folder) as server:
        window = Window(server, server.keys["i00"])
        window.paint((30, 10, 34, 20), 4)
        kept = window.labels
        window.paint((30, 30, 34, 40), 5)
    path = Journal(run_folder / "corrections", "i00").path
    path.write_bytes(path.read_bytes()[:-10])
    with Server(run_folder) as server:
        again = Window(server, window.key)
        np.testing.assert_array_equal(again.labels, kept)
        again.paint((30, 50, 34, 55), again.next_cell)
        edited = again.labels
    with Server(run_folder) as server:
        np.testing.assert_array_equal(Window(server, window.key).labels, edited)


def test_a_damaged_journal_is_reported_and_not_changed(run_folder: Path) -> None:
    with Server(run_folder) as server:
        window = Window(server, server.keys["i00"])
        window.paint((30, 10, 34, 20), 4)
        window.paint((30, 30, 34, 40), 5)
    path = Journal(run_folder / "corrections", "i00").path
    content = path.read_bytes().replace(b'"brush"', b'"br\x00sh"', 1)
    path.write_bytes(content)
    with Server(run_folder) as server:
        answer = server.client.get(f"/api/images/{window.key}/labels")
        assert answer.status_code == 422
        assert str(path) in answer.json()["error"]
    assert path.read_bytes() == content


# ---- windows -------------------------------------------------------------------------------------


def test_an_edit_that_is_sent_again_is_applied_once(server: Server) -> None:
    window = Window(server, server.keys["i00"])
    first = window.paint((30, 10, 34, 20), 4)
    window.seq, window.revision = 0, 0
    window.labels[30:34, 10:20] = 0
    window.cells.pop(4)
    assert window.paint((30, 10, 34, 20), 4) == first
    assert Window(server, window.key).revision == 1


def test_another_window_gets_a_conflict_for_an_unknown_edit(server: Server) -> None:
    one, two = (Window(server, server.keys["i00"]) for _ in range(2))
    one.paint((30, 10, 34, 20), 4)
    answer = server.client.post(f"/api/images/{one.key}/edits", json={
        "window": two.id, "seq": 1, "revision": 0, "tool": "brush", "runs": [1900, 3, 0, 4],
        "cells": [{"id": 4, "after": {"origin": "drawn"}}],
    })  # fmt: skip
    assert answer.status_code == 409
    assert (answer.json()["revision"], answer.json()["window"]) == (1, one.id)
    np.testing.assert_array_equal(Window(server, one.key).labels, one.labels)
    two.load()
    two.paint((30, 30, 34, 40), two.next_cell)
    found = server.get(f"/api/images/{one.key}/edits?after=1")["edits"]
    assert [each["edit"]["window"] for each in found] == [two.id]


def test_windows_are_counted(server: Server) -> None:
    key = server.keys["i00"]
    for window, expected in (("window-a", 0), ("window-b", 1), ("window-a", 1)):
        said = server.post("/api/presence", {"window": window, "key": key})
        assert said["windows"] == expected
    server.post("/api/presence", {"window": "window-b", "key": None})
    assert server.post("/api/presence", {"window": "window-a", "key": key})["windows"] == 0


@pytest.mark.parametrize("change", [
    {"runs": [0, 3, 0, 4]},                                             # attributes are missing
    {"cells": [{"id": 9, "after": {"origin": "drawn"}}]},               # pixels are missing
    {"runs": [58, 4, 0, 4], "cells": [{"id": 4, "after": {"origin": "drawn"}}]},  # leaves its row
    # leaves the image
    {"runs": [2400, 1, 0, 4], "cells": [{"id": 4, "after": {"origin": "drawn"}}]},
    {"runs": [9, 2, 0, 4, 10, 2, 0, 4], "cells": [{"id": 4, "after": {"origin": "drawn"}}]},
    {"runs": [10, 2, 0, 4, 2, 2, 0, 4], "cells": [{"id": 4, "after": {"origin": "drawn"}}]},
    {"runs": [10, 2, 0]}, {"runs": [10, 0, 0, 4]}, {"runs": [10, 2, 4, 4]}, {},
    {"runs": [10, 2, 0, 2**40]}, {"runs": [2**70, 2, 0, 1]}, {"reviewed": [10, 2, 0, 2]},
    {"cells": [{"id": 1, "before": {"origin": "model", "type": "cort", "score": 0.75},
                "after": None}]},
])  # fmt: skip
def test_an_edit_that_breaks_the_rules_changes_nothing(
    server: Server, run_folder: Path, change: dict[str, Any]
) -> None:
    key = server.keys["i00"]
    body = {"window": "window-x", "seq": 1, "revision": 0, "tool": "brush", **change}
    answer = server.client.post(f"/api/images/{key}/edits", json=body)
    assert answer.status_code == 422, answer.text
    assert Window(server, key).revision == 0
    assert not (run_folder / "corrections").exists()


@pytest.mark.parametrize("change", [
    {"runs": [0, 3, 7, 0]},                                             # other pixels
    {"cells": [{"id": 1, "before": {"origin": "drawn"}, "after": {"origin": "edited"}}]},
    {"reviewed": [0, 3, 1, 0]}, {"done": {"before": True, "after": False}},
    {"seq": 2, "reviewed": [0, 3, 0, 1]}, {"revision": 5, "reviewed": [0, 3, 0, 1]},
])  # fmt: skip
def test_an_edit_of_something_else_is_a_conflict(
    server: Server, run_folder: Path, change: dict[str, Any]
) -> None:
    key = server.keys["i00"]
    body = {"window": "window-x", "seq": 1, "revision": 0, "tool": "brush", **change}
    assert server.client.post(f"/api/images/{key}/edits", json=body).status_code == 409
    assert not (run_folder / "corrections").exists()


def test_numbers_above_16_bits_are_preserved(server: Server, run_folder: Path) -> None:
    window = Window(server, server.keys["i00"])
    window.paint((30, 10, 34, 20), 70_000)
    np.testing.assert_array_equal(Window(server, window.key).labels, window.labels)
    server.session.store.flush()
    np.testing.assert_array_equal(labels_of(run_folder), window.labels)


# ---- trouble -------------------------------------------------------------------------------------


def test_a_full_disk_is_reported_and_the_edit_can_be_sent_again(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    window = Window(server, server.keys["i00"])
    window.paint((30, 10, 34, 20), 4)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    body = {"window": window.id, "seq": 2, "revision": 1, "tool": "reviewed",
            "reviewed": [0, 5, 0, 1]}  # fmt: skip
    answer = server.client.post(f"/api/images/{window.key}/edits", json=body)
    assert answer.status_code == 507
    assert Window(server, window.key).revision == 1
    monkeypatch.undo()
    server.post(f"/api/images/{window.key}/edits", body)
    assert Window(server, window.key).revision == 2


def test_a_read_only_folder_can_be_viewed(
    run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write anywhere
    with Server(run_folder) as server:
        assert server.get("/api/folder")["read_only"]
        window = Window(server, server.keys["i00"])
        body = {"window": window.id, "seq": 1, "revision": 0, "tool": "reviewed",
                "reviewed": [0, 5, 0, 1]}  # fmt: skip
        answer = server.client.post(f"/api/images/{window.key}/edits", json=body)
        assert (answer.status_code, answer.json()["read_only"]) == (503, True)
    assert not (run_folder / "corrections").exists()


def test_a_second_viewer_of_a_folder_is_read_only(server: Server, run_folder: Path) -> None:
    window = Window(server, server.keys["i00"])
    window.paint((30, 10, 34, 20), 4)
    program = (
        "import sys; from pathlib import Path; from tests.viewer.window import *\n"
        "server = Server(Path(sys.argv[1])); window = Window(server, server.keys['i00'])\n"
        "answer = server.client.post(f'/api/images/{window.key}/edits', json=dict("
        "window='window-y', seq=1, revision=1, tool='x', reviewed=[0, 5, 0, 1]))\n"
        "print(answer.status_code, window.revision)\n"
        "print(server.get('/api/folder')['read_only'], flush=True)\n"
        "input()\n"
        "print(repr(server.get('/api/folder')['read_only']), Window(server, window.key).revision)"
    )
    command = [sys.executable, "-c", program, str(run_folder)]
    with subprocess.Popen(command, cwd=ROOT, text=True, stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as second:  # fmt: skip
        assert second.stdout is not None
        assert second.stdout.readline().split() == ["503", "1"]
        assert "another `bigkingxxl view`" in second.stdout.readline()
        assert server.get("/api/folder")["read_only"] == ""
        window.paint((30, 10, 34, 30), 4)
        server.session.close()
        # Once the first has ended, the second may correct, and what the first wrote is there.
        assert second.communicate("\n")[0].split() == ["''", "2"]


def test_no_answered_edit_is_lost_by_a_kill(run_folder: Path) -> None:
    """A separate process makes edits and prints the answers until it is killed."""
    program = (
        "import sys; from pathlib import Path; from tests.viewer.window import *\n"
        "server = Server(Path(sys.argv[1])); window = Window(server, server.keys['i01'])\n"
        "random = np.random.default_rng(3)\n"
        "while True:\n"
        "    random_change(window, random)\n"
        "    print(window.revision, hash(window.labels.tobytes()), flush=True)\n"
    )
    environment = os.environ | {"PYTHONHASHSEED": "0"}
    process = subprocess.Popen([sys.executable, "-c", program, str(run_folder)], cwd=ROOT,
                               stdout=subprocess.PIPE, text=True, env=environment)  # fmt: skip
    assert process.stdout is not None
    for line in process.stdout:
        if int(line.split()[0]) >= 60:
            break
    process.kill()
    rest = process.communicate()[0].splitlines()
    answered = int((rest[-1] if rest and len(rest[-1].split()) == 2 else line).split()[0])
    with Server(run_folder) as server:
        server.session.mend()
        window = Window(server, server.keys["i01"])
        # An edit whose answer was cut off may be on disk; none that was answered is missing.
        assert answered <= window.revision <= answered + 2
        np.testing.assert_array_equal(labels_of(run_folder, "i01"), window.labels)


def test_the_cells_of_the_run_stay_readable(server: Server, run_folder: Path) -> None:
    window = Window(server, server.keys["i00"])
    window.delete(1)
    server.session.store.flush()
    assert len(open_run(run_folder)["i00"].predicted_cells.numbers) == 3


def test_the_cookie_is_of_this_port(server: Server) -> None:
    server.client.cookies.clear()
    answer = server.client.get("/?token=a-token-for-tests", headers=ORIGIN)
    assert answer.status_code == 303
    assert f"bigkingxxl_{PORT}=" in answer.headers["set-cookie"]

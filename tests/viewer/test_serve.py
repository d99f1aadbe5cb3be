"""The server as a process: its address, its port, its end, and folders that cannot be viewed."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import webbrowser
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from bigkingxxl.cli.main import app
from bigkingxxl.errors import InputError
from bigkingxxl.viewer.server.open_workspace import open_workspace
from bigkingxxl.viewer.server.serve import bound_socket
from tests.refusals import refused
from tests.threshold import save_images, squares
from tests.viewer.window import Server, Window

ROOT = Path(__file__).parents[2]
Started = tuple["subprocess.Popen[str]", dict[str, Any]]


@pytest.fixture
def start() -> Iterator[Callable[..., Started]]:
    """Start `bigkingxxl view` and wait for its address."""
    running = []

    def started(*options: object) -> Started:
        command = [sys.executable, "-m", "bigkingxxl", "view", *map(str, options), "--json"]
        process = subprocess.Popen(
            command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        running.append(process)
        assert process.stdout is not None
        text = ""
        while True:
            line = process.stdout.readline()
            assert line, process.stderr and process.stderr.read()
            text += line
            if line == "}\n":
                return process, json.loads(text)

    yield started
    for process in running:
        process.kill()
        process.communicate()


def ask(url: str, token: str) -> Any:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def test_the_server_answers_and_ends_at_once_with_everything_on_disk(
    start: Callable[..., Started], run_folder: Path
) -> None:
    process, told = start(run_folder, "--no-browser")
    base, token = told["url"].split("/?token=")
    assert base == f"http://127.0.0.1:{told['port']}"
    images = ask(f"{base}/api/images", token)["images"]
    assert [each["name"] for each in images] == ["i00", "i01", "i02"]
    edit = {"window": "window-a", "seq": 1, "revision": 0, "tool": "reviewed",
            "reviewed": [0, 9, 0, 1]}  # fmt: skip
    request = urllib.request.Request(
        f"{base}/api/images/{images[0]['key']}/edits", json.dumps(edit).encode(),
        {"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )  # fmt: skip
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert json.load(answer)["revision"] == 1
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert "Traceback" not in said
    assert (run_folder / "corrections" / "labels" / "i00.tif").is_file()
    assert not (run_folder / "corrections" / ".lock").exists()


def test_a_request_that_is_cut_off_at_the_end_is_no_error(
    start: Callable[..., Started], run_folder: Path
) -> None:
    """A request takes longer than the server has to end; its body is never sent."""
    process, told = start(run_folder, "--no-browser")
    base, token = told["url"].split("/?token=")
    key = ask(f"{base}/api/images", token)["images"][0]["key"]
    with socket.create_connection(("127.0.0.1", told["port"])) as connection:
        connection.sendall(
            f"POST /api/images/{key}/edits HTTP/1.1\r\nHost: 127.0.0.1:{told['port']}\r\n"
            f"Authorization: Bearer {token}\r\nOrigin: {base}\r\nContent-Length: 99\r\n"
            "Content-Type: application/json\r\n\r\n{".encode()
        )
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        _, stderr = process.communicate(timeout=60)
    assert "Traceback" not in stderr
    assert "ERROR" not in stderr


def test_it_starts_with_little_work(run_folder: Path) -> None:
    """CPU seconds, which a busy machine does not change."""
    program = (
        "import time; from pathlib import Path; import sys\n"
        "from bigkingxxl.viewer.server import serve\n"
        "from bigkingxxl.viewer.server.session import Session\n"
        "session = Session(serve.open_workspace(Path(sys.argv[1]))); session.strip()\n"
        "print(time.process_time()); session.close()"
    )
    found = subprocess.run([sys.executable, "-c", program, str(run_folder)], cwd=ROOT, text=True,
                           capture_output=True, check=True)  # fmt: skip
    assert float(found.stdout) < 2


def test_a_port_in_use_is_reported_or_replaced() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as other,
        refused(InputError, key="--port"),
    ):
        bound_socket(other.getsockname()[1])
    first, _ = bound_socket(None)
    second, moved = bound_socket(None)
    try:
        assert moved
        assert first.getsockname()[0] == second.getsockname()[0] == "127.0.0.1"
    finally:
        first.close()
        second.close()


def test_without_a_browser_the_address_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    from bigkingxxl.viewer.server import serve

    def none(url: str) -> bool:
        raise webbrowser.Error("no browser")

    monkeypatch.setattr(webbrowser, "open", none)
    serve._open_browser("http://127.0.0.1:1/")  # warnings of threads are errors here
    time.sleep(0.1)


@pytest.mark.parametrize("what", ["nothing", "file", "empty"])
def test_a_folder_that_cannot_be_shown_is_one_sentence(tmp_path: Path, what: str) -> None:
    place = tmp_path / what
    if what == "file":
        place.write_text("x")
    elif what == "empty":
        place.mkdir()
    for command in ("view", "annotate"):
        result = CliRunner().invoke(app, [command, str(place), "--no-browser"])
        assert result.exit_code == 2
        assert len(result.output.strip().splitlines()) == 1


def test_a_missing_model_is_refused_before_opening(run_folder: Path) -> None:
    command = ["view", str(run_folder), "--no-browser", "--model", "nothere.onnx"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 2
    assert "nothere.onnx" in result.output


def test_a_run_of_a_newer_version_is_refused(run_folder: Path) -> None:
    path = run_folder / "run.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps({**values, "version": "9.1", "newer": True}))
    with pytest.raises(InputError, match=r"9\.1"):
        open_workspace(run_folder)


def test_a_label_image_of_another_size_is_refused_not_shown(tmp_path: Path) -> None:
    (tmp_path / "labels").mkdir()
    save_images(tmp_path / "images", [3, 5])
    for index, labels in enumerate([squares(3), squares(5)[:20]]):
        Image.fromarray(labels.astype(np.uint16)).save(tmp_path / f"labels/i0{index}.tif")
    with Server(tmp_path) as server:
        assert Window(server, server.keys["i00"]).labels.max() == 3
        answer = server.client.get(f"/api/images/{server.keys['i01']}/labels")
        assert answer.status_code == 422
        assert "60 x 20" in answer.json()["error"]


def test_a_run_is_not_annotated_as_if_it_were_images(run_folder: Path) -> None:
    with refused(InputError, "view", file=run_folder, key="annotate"):
        open_workspace(run_folder, annotate=True)


def test_an_image_that_is_gone_costs_that_image(run_folder: Path) -> None:
    (run_folder.parent / "images" / "i00.png").unlink()
    with Server(run_folder) as server:
        answer = server.client.get(f"/api/images/{server.keys['i00']}/pixels")
        assert answer.status_code == 410
        assert Window(server, server.keys["i01"]).labels.max() == 12


def test_images_where_the_results_would_lie_are_refused(tmp_path: Path) -> None:
    cells = tmp_path / "my" / "cells"
    cells.mkdir(parents=True)
    save_images(cells, [3])
    with pytest.raises(InputError) as caught:
        open_workspace(tmp_path / "my")
    assert caught.value.file == cells
    assert open_workspace(cells).kind == "images"
    assert open_workspace(tmp_path / "my", annotate=True).kind == "annotate"

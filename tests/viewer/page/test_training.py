"""A real training by the page's own button: stopped, resumed, its program killed, and resumed."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from bigkingxxl.simulate.field import simulate_field
from tests.viewer.page.browser import ROOT, Viewer, Window, until

if TYPE_CHECKING:
    from playwright.sync_api import Browser

SECONDS = 900

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        importlib.util.find_spec("lightning") is None, reason="training needs the extra 'train'"
    ),
]


@pytest.fixture
def predicted(tmp_path: Path) -> Path:
    """Four small fields, and the cells that the bundled model finds in them."""
    (tmp_path / "images").mkdir()
    for index in range(4):
        field = simulate_field("shsy5y", size=(160, 200), seed=index)
        Image.fromarray(field.image).save(tmp_path / "images" / f"field_{index}.png")
    command = [sys.executable, "-m", "bigkingxxl", "predict", str(tmp_path / "images"), "--out",
               str(tmp_path / "run"), "--quiet"]  # fmt: skip
    subprocess.run(command, check=True, cwd=ROOT)
    return tmp_path / "run"


def job(viewer: Viewer) -> dict[str, Any]:
    """The newest job; {} if there is none."""
    found: list[dict[str, Any]] = viewer.json("/api/jobs")["jobs"]
    return found[0] if found else {}


def trains(viewer: Viewer) -> bool:
    """Whether a part of the training itself is done."""
    found = job(viewer)
    assert found.get("state") not in ("failed", "done"), found
    return bool(found.get("state") == "running" and 0.15 < found["done"] < 0.9)


def learners(folder: Path) -> list[str]:
    """Training processes of a folder, whoever started them."""
    # Without -ww, ps cuts each line at 80 characters if none of its streams is a terminal.
    listed = subprocess.run(["ps", "-A", "-ww", "-o", "args="],
                            capture_output=True, text=True, check=True)  # fmt: skip
    return [each for each in listed.stdout.splitlines()
            if "finetune" in each and str(folder) in each]  # fmt: skip


@pytest.fixture
def viewer(predicted: Path) -> Iterator[Viewer]:
    """A server of its own folder, none of whose processes outlives even a failed test."""
    found = Viewer(predicted)
    yield found
    if found.process.poll() is None:
        found.stop()


def test_a_stopped_and_killed_training_is_resumed(
    browser: Browser, viewer: Viewer, predicted: Path
) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    window = Window(context, viewer)
    for _ in range(3):
        key = window.key
        window.focus()
        window.press("Enter")
        until(lambda key=key: window.key != key)
    side = window.page.locator(".side")
    window.page.click("#tab-finetune")
    window.page.fill(".minutes input", "3")
    side.locator("[data-stage='2']").click()
    until(lambda: trains(viewer), SECONDS)
    assert learners(predicted)
    side.locator("[data-action=cancel]").click()
    until(lambda: job(viewer)["state"] == "cancelled", SECONDS)
    assert learners(predicted) == []
    side.locator("[data-action=resume]").click()
    until(lambda: trains(viewer), SECONDS)
    assert learners(predicted)
    viewer.kill()
    until(lambda: learners(predicted) == [], 90)  # nothing trains unnoticed
    viewer.start()
    window.open()
    window.page.click("#tab-finetune")
    assert side.locator(".job").get_attribute("data-state") == "cancelled"
    side.locator("[data-action=resume]").click()
    until(lambda: job(viewer)["state"] in ("asking", "done", "failed"), SECONDS)
    assert job(viewer)["error"] == ""
    result = job(viewer)["result"]
    assert result["stage"] == 2
    assert result["images"] == 3
    context.close()
    assert window.problems == []

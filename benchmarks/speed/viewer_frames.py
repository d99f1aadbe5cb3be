"""The smoothness of the page of `bigkingxxl view`: frame rate and time to the first picture.

python -m benchmarks run viewer_frames [--out benchmarks/results/viewer_frames.json]

A headless Chromium without a GPU pans and zooms over 300, 1,000 and 5,000 cells (discs on a grid),
filled and outlined, in a window of 1,280 x 800 pixels. Frames are the browser's animation frames,
at most 60 per second; a frame is late from 25 ms on. Then three strokes are drawn on an image of
10,000 x 10,000 pixels, each timed until it is on disk.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.harness import record
from tests.viewer.page import browser as patience
from tests.viewer.page.browser import Viewer, Window, chromium
from tests.viewer.page.grids import grid_dataset

CELLS = (300, 1000, 5000)
HUGE = (10_000, 10_000)
STEPS = 120
SECONDS_TO_OPEN = 300  # for opening the huge image on a busy machine
LATE_MS = 25
RECORD = """() => {
    window.frames_ = [];
    const next = (time) => {
        window.frames_.push(time);
        window.recorder_ = requestAnimationFrame(next);
    };
    window.recorder_ = requestAnimationFrame(next);
}"""
STOP = "() => { cancelAnimationFrame(window.recorder_); return window.frames_; }"
FIRST_PICTURE = "() => performance.getEntriesByName('first picture')[0]?.startTime ?? null"


def measured(cells: int) -> dict[str, Any]:
    """Measure everything for a number of cells."""
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        labels = grid_dataset(Path(folder) / "set", cells)
        viewer = Viewer(Path(folder) / "set")
        context = browser.new_context(viewport={"width": 1280, "height": 800})
        window = Window(context, viewer)
        window.page.wait_for_function(FIRST_PICTURE)
        cold = window.page.evaluate(FIRST_PICTURE)
        window.reload()
        window.page.wait_for_function(FIRST_PICTURE)
        warm = window.page.evaluate(FIRST_PICTURE)
        window.focus()
        window.press("x")
        result = {
            "cells": cells, "height": labels.shape[0], "width": labels.shape[1],
            "first_picture_ms": round(cold), "first_picture_again_ms": round(warm),
            "pan": during(window, pan), "zoom": during(window, zoom), "draw": during(window, draw),
        }  # fmt: skip
        context.close()
        viewer.stop()
        return result


def first_edits() -> dict[str, Any]:
    """Measure the seconds until a huge image is shown and until its first strokes are on disk."""
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        patience.SECONDS = SECONDS_TO_OPEN
        grid_dataset(Path(folder) / "set", 2000, HUGE)
        viewer = Viewer(Path(folder) / "set")
        began = time.monotonic()
        context = browser.new_context(viewport={"width": 1280, "height": 800})
        window = Window(context, viewer)
        result: dict[str, Any] = {
            "height": HUGE[0], "width": HUGE[1], "opened_s": round(time.monotonic() - began, 2),
        }  # fmt: skip
        window.press("b")
        for index in range(3):
            row = 2000 + 1500 * index
            began = time.monotonic()
            window.drag((row, 3000), (row, 3300))
            window.wait_saved()
            result[f"edit_{index + 1}_s"] = round(time.monotonic() - began, 2)
        context.close()
        viewer.stop()
        return result


def during(window: Window, act: Any) -> dict[str, float]:
    """Measure frames during an action."""
    window.page.wait_for_timeout(500)
    window.page.evaluate(RECORD)
    act(window)
    times = window.page.evaluate(STOP)
    gaps = [after - before for before, after in itertools.pairwise(times)]
    return {
        "frames": len(gaps),
        "frames_per_second": round(1000 * len(gaps) / sum(gaps), 1),
        "median_ms": round(statistics.median(gaps), 1),
        "p95_ms": round(sorted(gaps)[int(0.95 * len(gaps))], 1),
        "late_share": round(sum(gap >= LATE_MS for gap in gaps) / len(gaps), 3),
    }


def pan(window: Window) -> None:
    """Drag the image back and forth with the middle button."""
    mouse = window.page.mouse
    mouse.move(640, 400)
    mouse.down(button="middle")
    mouse.move(420, 250, steps=STEPS // 2)
    mouse.move(640, 400, steps=STEPS // 2)
    mouse.up(button="middle")


def zoom(window: Window) -> None:
    """Zoom in and out with the wheel."""
    window.page.mouse.move(620, 420)
    for step in range(STEPS):
        window.page.mouse.wheel(0, -60 if step < STEPS // 2 else 60)


def draw(window: Window) -> None:
    """Draw one long stroke with the brush."""
    window.press("b")
    mouse = window.page.mouse
    mouse.move(450, 300)
    mouse.down()
    mouse.move(800, 550, steps=STEPS)
    mouse.up()


def main() -> None:
    """Measure everything and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/viewer_frames.json"))
    arguments = parser.parse_args()
    results = []
    for cells in CELLS:
        results.append(measured(cells))
        print(json.dumps(results[-1]))
    huge = first_edits()
    print(json.dumps(huge))
    load = os.getloadavg()[0]
    record(arguments.out, {
        "browser": "headless Chromium, no GPU", "cores": os.cpu_count(), "load": round(load, 1),
        "results": results, "huge": huge,
    })  # fmt: skip


if __name__ == "__main__":
    main()

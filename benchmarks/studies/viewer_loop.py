"""View, correct, learn: the cost and the gain of correcting five images of new cells.

    python -m benchmarks run viewer_loop --sets simulated vicar_qpi_dense --data POOL
    python -m benchmarks run viewer_loop --figure docs/images/viewer_loop.svg

A model predicts all images of a data set. A scripted person who knows the truth opens the page of
`bigkingxxl view` in Chromium and corrects five images, the worst cells first
(see `viewer_corrector`): once in the order of `Enter`, by expected error, and once in the order of
names. Then the buttons of the page are pressed to learn: thresholds and size, then, after the first
order only, training. The images that were corrected in neither order are scored.

`simulated` is a randomly drawn kind of simulated cell; the others are folders of POOL.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.harness import record
from benchmarks.studies.viewer_corrector import Corrector, Effort, Labels
from bigkingxxl.evaluation.competition_map import competition_map
from bigkingxxl.instances import Instances
from bigkingxxl.io.annotations.label_images import read_label_image
from bigkingxxl.simulate.field import field_of
from bigkingxxl.simulate.varied import varied_profile
from tests.viewer.page.browser import Viewer, Window, chromium, until
from tests.viewer.page.fields import truth_of

SIMULATED = "simulated"
KIND, IMAGES, SIZE = 910, 14, (360, 480)  # a star-shaped kind, of which the model finds a part
MODELS = {SIMULATED: "bundled", "vicar_qpi_dense": "sartorius"}  # models that never saw such cells
ORDERS = {"expected error": "error", "name": "name"}
LEVELS = (0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85)
SECONDS_TO_LEARN = 3600
STAGES = ("thresholds", "training")  # the buttons, from top to bottom
SHORT = ("clicks", "seconds", "corrected_before", "corrected_after", "to_reach")


def main() -> None:
    """Measure, or draw the measured results."""
    options = arguments()
    if options.figure:
        draw(json.loads(options.out.read_text()), options.figure)
        return
    found: dict[str, Any] = json.loads(options.out.read_text()) if options.out.is_file() else {}
    found |= {"good": options.good, "images": options.images,
              "minutes": options.minutes}  # fmt: skip
    found.setdefault("sets", {})
    for name in options.sets:
        result = found["sets"].setdefault(name, {})
        measured(name, options, result, lambda: record(options.out, found, KIND))


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", nargs="+", default=[SIMULATED])
    parser.add_argument("--data", type=Path, help="a folder of data sets")
    parser.add_argument("--images", type=int, default=5, help="that are corrected")
    parser.add_argument("--good", type=float, default=0.8, help="IoU of an outline that is left")
    parser.add_argument("--minutes", type=float, default=3, help="CPU minutes of training")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/viewer_loop.json"))
    parser.add_argument("--work", type=Path, help="keep the runs here, and go on with them")
    parser.add_argument("--figure", type=Path, help="draw the result file")
    return parser.parse_args()


def measured(
    name: str, options: argparse.Namespace, result: dict[str, Any], keep: Callable[[], object]
) -> None:
    """Measure both orders on one data set; existing parts are not repeated.

    Args:
        name: The name of the data set.
        options: The command line.
        result: Updated with the results.
        keep: Called after each part.
    """
    with work_folder(options.work, name) as folder:
        runs = {order: folder / order.replace(" ", "_") for order in ORDERS}
        model = MODELS.get(name, "bundled")
        first, *others = runs.values()
        truth = truth_and_images(name, first / "images", options.data)
        predict(first / "images", first / "run", model)
        for other in others:
            if not other.exists():
                shutil.copytree(first, other)
        cells = sum(len(np.unique(each)) - 1 for each in truth.values())
        result |= {"model": model, "images": len(truth), "cells": cells}
        loops = {order: Loop(place / "run", truth, ORDERS[order]) for order, place in runs.items()}
        for order, loop in loops.items():
            if order not in result:
                result[order] = loop.correct(options.images, options.good)
                print(name, order, {each: result[order][each] for each in SHORT}, flush=True)
                keep()
        corrected = {each for order in ORDERS for each in result[order]["corrected"]}
        result["scored"] = rest = [each for each in truth if each not in corrected]
        for order, loop in loops.items():
            stages = STAGES if order == next(iter(ORDERS)) else STAGES[:1]
            if "learn" not in result[order]:
                result[order]["learn"] = loop.learn(rest, options.minutes, stages)
                print(name, order, json.dumps(result[order]["learn"]), flush=True)
                keep()


@contextmanager
def work_folder(given: Path | None, name: str) -> Iterator[Path]:
    """Yield the folder of a data set's runs: below a given folder, else a temporary one."""
    if given is not None:
        yield given / name
        return
    with tempfile.TemporaryDirectory(prefix="bigkingxxl-loop-") as folder:
        yield Path(folder)


def truth_and_images(name: str, images: Path, data: Path | None) -> dict[str, Labels]:
    """Write the images of a data set to a folder; return its true cells by image."""
    images.mkdir(parents=True, exist_ok=True)
    truth: dict[str, Labels] = {}
    if name == SIMULATED:
        profile = varied_profile(np.random.default_rng(KIND))
        for index in range(IMAGES):
            field = field_of(profile, np.random.default_rng([KIND, index]), SIZE)
            Image.fromarray(field.image).save(images / f"field_{index:02d}.png")
            truth[f"field_{index:02d}"] = truth_of(field).label_map().astype(np.int64)
    else:
        assert data is not None, "--data names the folder of the set"
        for path in sorted((data / name / "images").iterdir()):
            (images / path.name).write_bytes(path.read_bytes())
            labels = read_label_image(data / name / "labels" / path.name)
            truth[path.stem] = labels.astype(np.int64)
    return truth


def predict(images: Path, run: Path, model: str) -> None:
    """Predict as a person would at the start; an existing run is continued."""
    command = [sys.executable, "-m", "bigkingxxl", "predict", str(images), "--out", str(run),
               "--model", model, "--quiet"]  # fmt: skip
    subprocess.run(command, check=True)


class Loop:
    """A folder that is viewed, corrected and learned from.

    Args:
        folder: The folder.
        truth: The true cells by image.
        order: The order of the strip, as in its menu.
    """

    def __init__(self, folder: Path, truth: Mapping[str, Labels], order: str) -> None:
        self.folder, self.truth, self.order = folder, truth, order

    def correct(self, images: int, good: float) -> dict[str, Any]:
        """Correct some images; return the effort and the scores over time."""
        viewer = Viewer(self.folder)
        names = {each["key"]: each["name"] for each in viewer.json("/api/images")["images"]}
        with chromium() as browser:
            window = Window(browser.new_context(viewport={"width": 1440, "height": 900}), viewer)
            window.page.select_option(".strip-head select", self.order)
            window.page.locator("[role=option]").first.click()
            window.wait_for_image(str(window.page.locator("[role=option]").first.get_attribute(
                "id")).removeprefix("image-"))  # fmt: skip
            scores = {name: self.score(name, viewer.raster(key)) for key, name in names.items()}
            curve: list[list[float]] = []

            def told(key: str, labels: Labels, effort: Effort) -> None:
                scores[names[key]] = self.score(names[key], labels)
                mean = float(np.mean(list(scores.values())))
                curve.append([effort.clicks, effort.keys, round(effort.seconds, 1),
                              round(mean, 4)])  # fmt: skip

            corrector = Corrector(viewer, window, good, told)
            before = dict(scores)
            done: list[str] = []
            for _ in range(images):
                key = window.key
                window.focus()
                corrector.correct(self.truth[names[key]])
                done.append(names[key])
                self._next(corrector, window, key, is_last=len(done) == images)
            assert window.problems == []
        viewer.stop()
        effort = corrector.effort
        five = [float(np.mean([each[name] for name in done])) for each in (before, scores)]
        return {
            "corrected": done, "clicks": effort.clicks, "keys": effort.keys,
            "seconds": round(effort.seconds), "mends": effort.mends,
            "corrected_before": five[0], "corrected_after": five[1], "curve": curve,
            "to_reach": to_reach(curve),
        }  # fmt: skip

    def _next(self, corrector: Corrector, window: Window, key: str, *, is_last: bool) -> None:
        """Finish an image and open the next one, in the order of the page or of the strip."""
        if self.order == "error":
            corrector.key("Enter")
        else:
            corrector.key("Shift+Enter")
            window.wait_saved()
            if not is_last:
                corrector.key("d")
        if not is_last:
            until(lambda: window.key != key)
        window.wait_saved()

    def score(self, name: str, labels: NDArray[Any]) -> float:
        """Score one image."""
        pair = [{name: Instances.from_label_map(each)} for each in (self.truth[name], labels)]
        return float(competition_map(pair[0], pair[1], {}).mean)

    def learn(self, rest: list[str], minutes: float, stages: Sequence[str]) -> dict[str, Any]:
        """Press the buttons of the page in turn, and follow its advice."""
        viewer = Viewer(self.folder)
        with chromium() as browser:
            window = Window(browser.new_context(viewport={"width": 1440, "height": 900}), viewer)
            found: dict[str, Any] = {"before": self._rest(viewer, rest)}
            window.page.click("#tab-finetune")
            window.page.fill("input[aria-label^='Minutes']", str(minutes))
            for button, stage in enumerate(stages):
                job = ended(viewer, window.page.locator(".side button.wide").nth(button).click)
                taken = job["state"] == "asking"
                if taken:
                    ended(viewer, window.page.locator(".side [data-action=accept]").click)
                result = job["result"]
                found[stage] = {
                    "taken": taken, "rest": self._rest(viewer, rest), "advice": result["advice"],
                    **{each: result[each] for each in ("before", "after", "gain_low", "gain_high")},
                }  # fmt: skip
            assert window.problems == []
        viewer.stop()
        return found

    def _rest(self, viewer: Viewer, rest: list[str]) -> float:
        keys = {each["name"]: each["key"] for each in viewer.json("/api/images")["images"]}
        return float(np.mean([self.score(name, viewer.raster(keys[name])) for name in rest]))


def ended(viewer: Viewer, press: Callable[[], object]) -> dict[str, Any]:
    """Return the finished job that a button started."""

    def newest() -> dict[str, Any]:
        jobs = viewer.json("/api/jobs")["jobs"]
        return jobs[0] if jobs else {"id": "", "state": ""}

    before = newest()["id"]
    press()
    until(lambda: newest()["id"] != before
          and newest()["state"] in ("asking", "done", "failed"), SECONDS_TO_LEARN)  # fmt: skip
    job = newest()
    assert job["state"] != "failed", job["error"]
    return job


def to_reach(curve: list[list[float]]) -> dict[str, dict[str, float]]:
    """Return clicks, keys and seconds to each score of the whole folder."""
    found = {}
    for level in LEVELS:
        reached = next((each for each in curve if each[3] >= level), None)
        if reached is not None:
            found[f"{level:g}"] = dict(zip(("clicks", "keys", "seconds"), reached, strict=False))
    return found


def draw(found: Mapping[str, Any], place: Path) -> None:
    """Draw one panel per data set: the score of all images over the working minutes."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "bigkingxxl"
    from matplotlib import pyplot as plt

    sets = found["sets"]
    figure, panels = plt.subplots(1, len(sets), figsize=(4.4 * len(sets), 3.4), squeeze=False)
    for panel, (name, result) in zip(panels[0], sets.items(), strict=True):
        for order, colour in zip(ORDERS, ("#1863b7", "#b35900"), strict=True):
            curve = np.array(result[order]["curve"])
            panel.plot(curve[:, 2] / 60, curve[:, 3], color=colour, label=f"next by {order}")
        panel.set(title=name, xlabel="minutes of correcting (modelled)")
        panel.grid(alpha=0.3)
    panels[0][0].set_ylabel("mean score of all images (mAP)")
    panels[0][0].legend(frameon=False)
    figure.tight_layout()
    figure.savefig(place, metadata={"Date": None} if place.suffix == ".svg" else None)


if __name__ == "__main__":
    main()

"""The results table and the ablation's tables, made from invented figures."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.accuracy import leaderboard
from benchmarks.harness import RESULTS, ROOT
from benchmarks.studies import ablation
from bigkingxxl.errors import InputError
from tests.refusals import refused


def result(mix: float, minutes: float) -> dict[str, Any]:
    """What `score_fold` writes, as far as the table reads it."""
    score = {
        "competition_map": mix + 0.01, "challenge_mix": mix, "images": 9,
        "challenge_mix_interval_95": [mix - 0.02, mix + 0.02],
        "by_type": {"astro": 0.1, "cort": 0.3, "shsy5y": 0.2},
    }  # fmt: skip
    names = ("default", "crossfitted", "crossfitted, images without a twin in training",
             "crossfitted, without the images that chose the checkpoint")  # fmt: skip
    rows = [
        {"metric": "AP", "iou": iou, "area": "all", "max_detections": most, "value": most / 10000}
        for most in (100, 2000) for iou in (None, 50, 75)
    ]  # fmt: skip
    return {
        "fold": 0, "images": 9, "images_that_chose_the_checkpoint": 2,
        "model": {"minutes": minutes, "trained_with": "a CPU", "trained_on_images_of_this_set": 7},
        "seconds_an_image": {"median": 0.75, "threads": 1},
        "scores": dict.fromkeys(names, score), "coco_default_knobs": {"rows": rows},
    }  # fmt: skip


def run(module: Any, monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["it", *map(str, arguments)])
    module.main()


@pytest.fixture
def results(tmp_path: Path) -> list[str]:
    for name, mix, minutes in (("worse", 0.1, 30), ("better", 0.2, 300)):
        row = result(mix, minutes)
        if name == "better":
            row["brief"] = {"name": name, "training": "a day"}
        (tmp_path / f"{name}.json").write_text(json.dumps(row))
    return [f"{name}={tmp_path / name}.json" for name in ("worse", "better")]


def test_the_best_row_comes_first_and_the_readme_is_updated(
    results: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readme, out = tmp_path / "README.md", tmp_path / "board.json"
    readme.write_text("before\n<!-- leaderboard -->\nold\n<!-- /leaderboard -->\nafter\n")
    run(leaderboard, monkeypatch, *results, "--out", out, "--readme", readme,
        "--note", "worse=a trial")  # fmt: skip
    table = (tmp_path / "board.md").read_text()
    lines = table.splitlines()
    assert lines[2].startswith("| better | 0.200 (0.180 to 0.220) | 0.210 | 0.100 / 0.300 / 0.200")
    assert "0.010 / 0.010 / 0.010 | 0.200 / 0.200 / 0.200 | 300 min, a CPU | 0.750" in lines[2]
    assert "short training" not in lines[2]
    assert lines[3].startswith("| worse |")
    assert "short training" in lines[3]
    assert "a trial" in lines[3]
    assert "0.180 / 0.400 / 0.132" in table
    assert all(line.count("|") == lines[0].count("|") for line in lines if line.startswith("|"))
    assert readme.read_text() == (
        "before\n<!-- leaderboard -->\n| method | mAP | training | CPU seconds per image |\n"
        "| --- | --- | --- | --- |\n| better | 0.200 | a day | 0.8 |\n"
        "<!-- /leaderboard -->\nafter\n"
    )


def test_rows_that_are_not_named_are_kept(
    results: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "board.json"
    for each in results:
        run(leaderboard, monkeypatch, each, "--out", out)
    stored = {row["name"] for row in json.loads(out.read_text())["rows"]}
    assert stored == {"worse", "better"}


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--note", "nobody=x"], "nobody"),
        (["just a name"], "NAME=VALUE"),
        (["a=model.onnx"], "--data"),
        (["--readme", "{readme}"], "README.md"),
    ],
)
def test_impossible_requests_raise_an_error(
    arguments: list[str], named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("nothing to fill")
    given = [each.format(readme=readme) for each in arguments]
    with refused(InputError, named):
        run(leaderboard, monkeypatch, *given, "--out", tmp_path / "board.json")


def test_training_changes_are_added_only_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, change = tmp_path / "ablation.json", tmp_path / "step.json"
    for after in (0.7, 0.5):
        change.write_text(json.dumps({
            "change": "a change", "measure": "seconds", "before": 1.0, "after": after,
            "ratio": 1 / after,
        }))  # fmt: skip
        run(ablation, monkeypatch, "--training", change, "--out", out)
    rows = [
        line for line in (tmp_path / "ablation.md").read_text().splitlines() if "a change" in line
    ]
    assert rows == ["| a change | seconds | 1.000 | 0.500 | 2.00 times | [step.json](step.json) |"]
    change.write_text("{}")
    with refused(InputError, "'change'"):
        run(ablation, monkeypatch, "--training", change, "--out", out)


def test_the_readme_matches_the_stored_results() -> None:
    rows = leaderboard.stored_rows(RESULTS / "leaderboard.json")
    _, _, rest = (ROOT / "README.md").read_text("utf-8").partition(leaderboard.START + "\n")
    shown = rest.partition(leaderboard.END)[0]
    assert shown == leaderboard.brief(rows), "run leaderboard --readme README.md"
    assert (RESULTS / "leaderboard.md").read_text("utf-8") == leaderboard.whole(rows)


def test_the_tutorial_shows_what_compare_wrote() -> None:
    page = (ROOT / "docs" / "tutorials" / "compare.md").read_text("utf-8")
    _, _, rest = page.partition("<!-- compare -->\n")
    shown = rest.partition("<!-- /compare -->")[0]
    assert shown == (RESULTS / "compare_shipped.md").read_text("utf-8")
    assert "in-sample" in shown

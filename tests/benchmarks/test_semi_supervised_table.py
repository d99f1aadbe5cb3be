"""What the semi-supervised benchmark says of its rows, from figures made up here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.studies.semi_supervised_table import (
    by_arm,
    measure_of,
    plot,
    read_rows,
    table,
    verdicts,
)
from bigkingxxl.errors import InputError

PNG = b"\x89PNG"


def row(weight: float | None, seed: int, mix: float, **setting: Any) -> dict[str, Any]:
    score = {"challenge_mix": mix, "competition_map": mix + 0.01,
             "by_type": {"astro": 0.1, "cort": 0.3, "shsy5y": 0.2}}  # fmt: skip
    return {
        "arm": "supervised" if weight is None else f"adversarial-{weight:g}",
        "weight": weight, "seed": seed, "machine": "a CPU", "scored": 39, "steps": 200,
        "minutes": 10.2, "curve": [[40, 0.05], [80, mix]],
        "setting": {"fold": 0, "minutes": 10, "images": 40, "unlabelled": 400, **setting},
        "scores": {"default": score, "crossfitted": score},
    }  # fmt: skip


def rows(**mixes: tuple[float, ...]) -> list[dict[str, Any]]:
    weights = {"supervised": None, "light": 0.01, "heavy": 0.1}
    return [row(weights[arm], seed, mix) for arm, own in mixes.items()
            for seed, mix in enumerate(own)]  # fmt: skip


BASE = (0.10, 0.12, 0.11)


@pytest.mark.parametrize(
    ("light", "words", "advice"),
    [
        ((0.13, 0.14, 0.15), "+0.030, better", "Use adversarial-0.01"),
        ((0.09, 0.13, 0.14), "no difference beyond the spread", "use supervised training"),
        ((0.07, 0.08, 0.09), "-0.030, worse", "use supervised training"),
        ((0.13, 0.14), "too few to tell", "use supervised training"),
    ],
)
def test_an_arm_is_better_only_beyond_the_spread(
    light: tuple[float, ...], words: str, advice: str
) -> None:
    said = verdicts(by_arm(rows(supervised=BASE, light=light)), "default")
    assert words in said[0]
    assert advice in said[-1]


def test_chance_is_that_of_ranks() -> None:
    said = verdicts(by_arm(rows(supervised=BASE, light=(0.2, 0.3, 0.4))), "default")
    assert "by chance in 1 of 20" in said[0]


def test_runs_that_learnt_nothing_are_no_comparison() -> None:
    said = verdicts(by_arm(rows(supervised=(0.0, 0.0, 0.0), light=(0.0, 0.0, 0.01))), "default")
    assert len(said) == 1
    assert "too short" in said[0]


def test_without_a_supervised_row_nothing_is_compared() -> None:
    assert "Nothing to compare" in verdicts(by_arm(rows(light=BASE)), "default")[0]


def test_the_table_has_a_line_an_arm_and_pairs_seeds() -> None:
    text = table(rows(supervised=BASE, light=(0.12, 0.11, 0.13), heavy=(0.05, 0.06, 0.07)))
    lines = [line for line in text.splitlines() if line.startswith("| adversarial-0.01")]
    assert len(lines) == 2  # cross-fitted, and by default operating points
    assert "| 0.120 | 0.110 to 0.130 | 0.010 |" in lines[0]
    assert "| +0.010 | -0.010 to +0.020 |" in lines[0]
    assert plot(rows(supervised=BASE)).startswith(PNG)


def test_a_row_that_was_cut_off_takes_the_others_to_the_default() -> None:
    found = rows(supervised=BASE)
    assert measure_of(found) == "crossfitted"
    del found[1]["scores"]["crossfitted"]
    assert measure_of(found) == "default"
    assert "cross-fitted" not in table(found)


def test_rows_are_read_in_order_and_of_one_setting(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no rows"):
        read_rows(tmp_path)
    for number, each in enumerate((row(0.1, 0, 0.1), row(None, 1, 0.1), row(None, 0, 0.1))):
        (tmp_path / f"{number}.json").write_text(json.dumps(each))
    assert [(each["weight"], each["seed"]) for each in read_rows(tmp_path)] == [
        (None, 0), (None, 1), (0.1, 0),
    ]  # fmt: skip
    (tmp_path / "3.json").write_text(json.dumps(row(0.1, 1, 0.1, minutes=20)))
    with pytest.raises(InputError, match="minutes: 20, not 10"):
        read_rows(tmp_path)

"""The command line of the benchmarks, and the common format of their results."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks import harness
from benchmarks.harness import RESULTS, Goal, by_turns, keep, results_table
from bigkingxxl.errors import InputError


def test_each_benchmark_is_listed_with_its_summary() -> None:
    lines = harness.listing().splitlines()
    assert len(lines) == len(harness.names()) > 15
    assert all(len(line.split(maxsplit=2)) == 3 for line in lines)


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_results_of_any_age_are_shown(path: Path) -> None:
    shown = harness.table(path.stem)
    assert "| what | measured |" in shown


def test_results_record_their_provenance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["python -m benchmarks run it", "--data", "a b"])
    goals = [Goal("times faster", 5.5, 5), Goal("seconds", 3, 2, at_most=True)]
    assert keep(tmp_path / "it.json", goals, {"images": 3, "times": {"ours": 0.25}}, 7) == 1
    stored = json.loads((tmp_path / "it.json").read_text())
    assert stored["command"] == "python -m benchmarks run it --data 'a b'"
    assert stored["seed"] == 7
    assert {"date", "device"} <= stored.keys()
    assert [goal["reached"] for goal in stored["goals"]] == [True, False]
    shown = results_table(stored)
    assert capsys.readouterr().out.strip() == shown
    assert "| times faster | 5.5 | at least 5 | reached |" in shown
    assert "| seconds | 3 | at most 2 | MISSED |" in shown
    assert "| times, ours | 0.25 |" in shown
    assert keep(tmp_path / "it.json", goals[:1], {}) == 0


def test_works_take_turns() -> None:
    seen: list[str] = []

    def second() -> int:
        seen.append("b")
        return 2

    results, times = by_turns({"a": lambda: seen.append("a"), "b": second}, 3)
    assert seen == ["a", "b"] * 3
    assert results == {"a": None, "b": 2}
    assert times["a"].wall >= 0


def test_unknown_names_raise_an_error() -> None:
    with pytest.raises(InputError, match="metric_speed"):
        harness.run("metric_spead", [])
    with pytest.raises(InputError, match="metric_speed"):
        harness.table("nothing")


def test_images_are_chosen_evenly_in_their_order() -> None:
    assert harness.evenly("abcdefghi", 3) == ["a", "e", "i"]
    assert harness.evenly("abc", 9) == ["a", "b", "c"]
    assert harness.evenly("abc", 0) == []


def test_each_type_has_as_equal_a_share_as_it_can() -> None:
    kinds = {"a": "x", "b": "x", "c": "x", "d": "x", "e": "y", "f": "z", "g": "z"}
    data = SimpleNamespace(cell_type=kinds.get)
    assert harness.evenly_by_type(data, tuple(kinds), 5) == ("a", "d", "e", "f", "g")  # type: ignore[arg-type]
    assert harness.evenly_by_type(data, tuple(kinds), 99) == tuple(kinds)  # type: ignore[arg-type]

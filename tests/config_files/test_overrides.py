"""`--set key=value`: dots go deeper, values are YAML, and the original stays unchanged."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigkingxxl.config_files.overrides import override
from bigkingxxl.config_files.parsed import Path as Keys
from bigkingxxl.config_files.parsed import Place
from bigkingxxl.errors import SettingsError
from tests.config_files.bombs import ALIASES


@pytest.mark.parametrize(
    ("assignment", "expected"),
    [
        ("epochs=3", {"epochs": 3}),
        ("optimiser.learning_rate=1e-3", {"optimiser": {"name": "SGD", "learning_rate": 0.001}}),
        ("optimiser.name=AdamW", {"optimiser": {"name": "AdamW"}}),
        ("by_type.astro.minimum_area=50", {"by_type": {"astro": {"minimum_area": 50}}}),
        ("data=a=b", {"data": "a=b"}),
        ("data=", {"data": None}),
        ("data=2024-13-45", {"data": "2024-13-45"}),
        ("data=2024-12-24", {"data": "2024-12-24"}),
        ("data=[1, 2", {"data": "[1, 2"}),
        ("stages=[{minimum_area: 4}]", {"stages": [{"minimum_area": 4}]}),
        ("epochs=2.5E+3", {"epochs": 2500.0}),
        ("extra=null", {"extra": None}),
        ("data=true", {"data": True}),
        ("data=nan", {"data": "nan"}),
    ],
)
def test_an_assignment_sets_one_value(assignment: str, expected: dict[str, Any]) -> None:
    before = {"epochs": 1, "optimiser": {"name": "SGD"}}
    after = override(before, [assignment])
    assert after == before | expected
    assert before == {"epochs": 1, "optimiser": {"name": "SGD"}}, "the values given are not changed"


def test_later_assignments_win() -> None:
    assert override({}, ["a.b=1", "a.c=2", "a.b=3"]) == {"a": {"b": 3, "c": 2}}


def test_values_that_share_a_part_are_set_one_by_one() -> None:
    shared = {"b": 1}
    assert override({"a": shared, "c": shared}, ["a.b=2"]) == {"a": {"b": 2}, "c": {"b": 1}}


@pytest.mark.parametrize("assignment", ["epochs", "=3", "", "epochs.more=3", " =1"])
def test_an_invalid_assignment_is_refused(assignment: str) -> None:
    with pytest.raises(SettingsError) as caught:
        override({"epochs": 1}, [assignment])
    assert caught.value.found == assignment


@given(st.text(max_size=20))
def test_any_value_is_accepted_or_refused(text: str) -> None:
    try:
        assert list(override({}, [f"key={text}"])) == ["key"]
    except SettingsError as error:
        assert error.key == "key"  # noqa: PT017


@pytest.mark.parametrize(
    "text",
    [*ALIASES, "[" * 20_000, "{a: " * 20_000, "0x" + "f" * 6000, "[" * 30 + "]" * 30,
     "{a: 1, a: 2}", "{1: 2}"],
)  # fmt: skip
def test_malicious_values_are_refused(text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        override({}, [f"key={text}"])
    assert caught.value.key == "key"
    assert len(str(caught.value)) < 300


def test_an_assigned_value_has_its_own_origin() -> None:
    places: dict[Keys, Place] = {("a",): Place("mine.py", 1), ("a", "b"): Place("mine.py", 2)}
    override({"a": {"b": 1}}, ["a.b=2"], places)
    assert places == {("a",): Place("mine.py", 1), ("a", "b"): Place("--set a.b")}

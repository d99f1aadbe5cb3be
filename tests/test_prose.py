"""Assertions on wording: those that are left, and no more."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.prose import TESTS, is_prose, prose_assertions

# It only falls: an error is checked by `tests.refusals`, a result by its numbers.
MOST = 71


def test_no_assertion_goes_by_the_clock_on_the_wall() -> None:
    """A busy machine fails no test: work is counted in CPU seconds, or in calls."""
    by_the_clock = re.compile(r"assert .*(monotonic|perf_counter|time\.time)\(\) - \w+ *[<>]")
    found = [path.name for path in TESTS.rglob("*.py") if by_the_clock.search(path.read_text())]
    assert found == []


def test_no_assertion_on_wording_is_added() -> None:
    found = [f"{path}:{line}: {text}" for path, line, text in prose_assertions()]
    assert len(found) <= MOST, "\n".join(found)


@pytest.mark.parametrize(
    ("code", "count"),
    [
        ('with raises(InputError, match="no such file"): pass', 1),
        ("with raises(InputError, match=words): pass", 1),
        ('with raises(RuntimeError, match="power cut"): pass', 0),
        ('assert "is damaged" in result.stderr', 1),
        ("assert words in result.stderr", 1),
        ('assert "train.csv" in result.stderr', 0),
        ('assert f"{path} is gone" in str(error.value)', 1),
        ('assert "a sentence" in page.read_text()', 0),
    ],
)
def test_what_counts(tmp_path: Path, code: str, count: int) -> None:
    (tmp_path / "test_it.py").write_text(code)
    assert len(list(prose_assertions(tmp_path))) == count


@pytest.mark.parametrize("value", ["--out", "'f1'", "9000 x 9000", "x.tif", "[cellpose]", "12 px"])
def test_values_are_no_wording(value: str) -> None:
    assert not is_prose(value)

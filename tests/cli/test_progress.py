"""Progress: all items come through, the rate and the time left are correct, quiet is quiet."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import count, pairwise

import pytest

from bigkingxxl.cli import progress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that advances by one second with each reading."""
    ticks = count()
    monkeypatch.setattr("time.monotonic", lambda: float(next(ticks)))


def test_items_are_yielded_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(progress.track(iter("abc"), label="letters")) == ["a", "b", "c"]
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("letters: 3, ")


def test_quiet_writes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(progress.track([1, 2], quiet=True)) == [1, 2]
    assert capsys.readouterr() == ("", "")


def test_a_log_gets_a_line_now_and_then(clock: None, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in progress.track(range(40), label="images"):
        pass
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "images: 10/40, 1.0/s, 0:30 left",
        "images: 20/40, 1.0/s, 0:20 left",
        "images: 30/40, 1.0/s, 0:10 left",
        "images: 40/40, 1.0 s each, 0:41 in all",
    ]


def test_an_error_in_the_loop_is_not_swallowed(capsys: pytest.CaptureFixture[str]) -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        list(progress.track(broken(), total=2))


def test_a_terminal_gets_a_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert list(progress.track(range(3), label="tiles")) == [0, 1, 2]
    out, err = capsys.readouterr()
    assert out == ""
    assert "tiles" in err
    assert "3/3" in err


@pytest.mark.parametrize(
    ("speed", "text"),
    [(0, "-/s"), (12.34, "12.3/s"), (1, "1.0/s"), (0.25, "4.0 s each")],
)
def test_rates_read_well(speed: float, text: str) -> None:
    assert progress.rate(speed) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (61, "1:01"), (3723, "1:02:03")]
)
def test_durations_read_well(seconds: float, text: str) -> None:
    assert progress.clock(seconds) == text


def test_work_within_work_has_a_line_of_its_own_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    seen = []
    for image in progress.track(["a", "b"], label="images"):
        seen += [image + block for block in progress.track(["1", "2"], label=f"{image}, blocks")]
    assert seen == ["a1", "a2", "b1", "b2"]
    assert list(progress.track([1], label="again")) == [1]
    assert "2/2" in capsys.readouterr().err


def test_a_long_log_gets_a_line_a_minute(clock: None, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in progress.track(range(400), label="blocks"):
        pass
    lines = capsys.readouterr().err.splitlines()
    done = [int(line.split(": ")[1].split("/")[0]) for line in lines]
    assert done[:13] == [*range(10, 130, 10), 180]
    assert {after - before for before, after in pairwise(done[12:-1])} == {60}


def test_what_an_earlier_run_did_does_not_shorten_the_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    for item in progress.track(range(100), label=lambda: "predicting slide, blocks"):
        now[0] += 0.01 if item < 60 else 5.0  # 60 blocks were done before
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "predicting slide, blocks: 62/100, 5.0 s each, 3:10 left"


def test_the_rate_is_that_of_the_last_minute(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    for item in progress.track(range(300), label="blocks"):
        now[0] += 0.1 if item < 244 else 4.0  # to check what is there took a while
    lines = capsys.readouterr().err.splitlines()
    assert lines[-2].startswith("blocks: 29")
    assert ", 4.0 s each, 0:" in lines[-2]

"""A run stops in time, says so, and later continues to the same bytes."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from bigkingxxl.errors import InputError, Interrupted
from bigkingxxl.runs.deadline import Deadline, seconds_of
from tests.threshold import Threshold, results, run, save_images


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 5400), ("0.5", 30), ("45s", 45), ("10m", 600), ("2h", 7200), ("1.5 h", 5400),
        ("1d", 86400), ("10:30", 630), ("1:30:00", 5400), ("2-12", 216000), ("1-02:30", 95400),
        ("2-12:00:30", 216030),
    ],
)  # fmt: skip
def test_durations_are_read_as_slurm_reads_them(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "0s", "-5", "soon", "1:2:3:4", "5 weeks", "nan", "inf"])
def test_invalid_durations_are_refused(text: str) -> None:
    with pytest.raises(InputError):
        seconds_of(text)


def test_no_unit_starts_that_would_not_finish_in_time() -> None:
    assert not Deadline(100).is_due
    deadline = Deadline(100)
    deadline.note(99)
    assert deadline.is_due
    assert Deadline().left is None
    assert not Deadline().is_due
    assert Deadline(1e-9).is_due


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="signals of POSIX")
def test_signals_ask_for_the_end(tmp_path: Path) -> None:
    images = save_images(tmp_path / "images", (3, 12, 0, 7, 1))
    run(images, tmp_path / "alone")
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGUSR1)
    for number in (signal.SIGUSR1, signal.SIGTERM):
        deadline, out = Deadline(), tmp_path / number.name

        class Signalled(Threshold):
            def candidates(self, source: object) -> object:  # type: ignore[override]
                if len(self.asked) == 1:
                    os.kill(os.getpid(), number)  # noqa: B023
                    time.sleep(0.1)
                return super().candidates(source)  # type: ignore[arg-type]

        with deadline.listening():
            stopped = run(images, out, predictor=Signalled(), ahead=1, deadline=deadline)
        assert number.name in stopped.stopped
        assert 0 < stopped.left < len(images)
        assert 0 < len(stopped.cells) < len(images)
        assert not (out / "summary.csv").exists()
        assert run(images, out).skipped == len(stopped.cells)
        assert results(out) == results(tmp_path / "alone")
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGUSR1)) == before


def test_a_second_sigterm_does_not_wait() -> None:
    deadline = Deadline()
    with deadline.listening(), pytest.raises(Interrupted):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.01)
        assert deadline.is_due
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.1)

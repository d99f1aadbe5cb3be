"""Work in the background, and what came of it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from bigkingxxl.viewer.contract.common import (
    Count,
    JobKind,
    JobState,
    Key,
    Wire,
)


class LearnRequest(Wire):
    """Learn from what was reviewed.

    Attributes:
        stage: 1 tunes size, thresholds and minimum area in seconds, without torch; 2 trains too.
        minutes: of training at most.
    """

    stage: Literal[1, 2] = 1
    minutes: Annotated[float, Field(gt=0, le=1440, allow_inf_nan=False)] = 10


class ExportRequest(Wire):
    """Make formats of `predict` and `measure` from the corrected cells."""

    formats: Annotated[tuple[str, ...], Field(min_length=1, max_length=50)]


class ComparedImage(Wire):
    """An image that the new model did not learn from: scores before and after."""

    key: Key
    before: float | None
    after: float | None


class LearnResult(Wire):
    """What came of learning; nothing is taken before the user accepts.

    Attributes:
        stage: that was done; images: how many were learnt from.
        before, after: mean score of the images below; gain: with `gain_low`, `gain_high`, a 95 %
            interval, where there are enough images.
        is_better: whether the program would take it; advice: one sentence.
        changed: what was changed, sentences.
        compared: the images that were not learnt from.
    """

    stage: Literal[1, 2]
    images: Count
    before: float | None
    after: float | None
    gain: float | None = None
    gain_low: float | None = None
    gain_high: float | None = None
    is_better: bool
    advice: str
    changed: tuple[str, ...] = ()
    compared: tuple[ComparedImage, ...] = ()


class Job(Wire):
    """Work in the background.

    Attributes:
        state: 'asking': done, and waits to be accepted or rejected (learn, where it is better).
        done, total: steps, where known; message: what is being done; seconds_left: expected.
        error: why it failed; files: that it made, within the folder.
        can_cancel, can_resume: what may be asked of it now.
        result: of learning.
    """

    id: str
    kind: JobKind
    state: JobState
    done: float = 0
    total: float | None = None
    message: str = ""
    seconds_left: float | None = None
    error: str = ""
    files: tuple[str, ...] = ()
    can_cancel: bool = False
    can_resume: bool = False
    result: LearnResult | None = None


class JobList(Wire):
    """All jobs of this session, the newest first."""

    jobs: tuple[Job, ...]

"""Background jobs and their results."""

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
    """Fine-tune the model on the reviewed parts.

    Attributes:
        stage: 1 tunes size, thresholds and minimum area in seconds, without torch; 2 also trains.
        minutes: The largest duration of training.
    """

    stage: Literal[1, 2] = 1
    minutes: Annotated[float, Field(gt=0, le=1440, allow_inf_nan=False)] = 10


class ExportRequest(Wire):
    """Write the corrected cells in formats of `predict` and `measure`."""

    formats: Annotated[tuple[str, ...], Field(min_length=1, max_length=50)]


class ComparedImage(Wire):
    """The scores before and after fine-tuning of an image that was not used for training."""

    key: Key
    before: float | None
    after: float | None


class LearnResult(Wire):
    """The result of fine-tuning; the new model is used only if the user accepts it.

    Attributes:
        stage: The stage that was done.
        images: The number of images used for fine-tuning.
        before: The mean score of the images in `compared`, before fine-tuning.
        after: Their mean score after fine-tuning.
        gain: The difference.
        gain_low: The lower end of its 95 % interval, if there are enough images.
        gain_high: The upper end of its 95 % interval.
        is_better: Whether the program recommends to accept it.
        advice: A sentence for the user that explains the recommendation.
        changed: Sentences that describe what was changed.
        compared: The images that were not used for training.
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
    """A background job.

    Attributes:
        state: 'asking' means done and waiting to be accepted or rejected (a fine-tuning job with
            a better model).
        done: The number of finished steps, if known.
        total: The number of steps, if known.
        message: The present step, for users.
        seconds_left: The expected remaining time.
        error: Why it failed.
        files: The files that it made, within the folder.
        can_cancel: Whether it can be cancelled now.
        can_resume: Whether it can be resumed now.
        result: The result of fine-tuning.
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
    """All jobs of this session, newest first."""

    jobs: tuple[Job, ...]

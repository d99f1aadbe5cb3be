"""The gain of test-time augmentation on annotated images, and its cost."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bigkingxxl.evaluation.competition_map import CompetitionScore
from bigkingxxl.evaluation.paired_gain import PairedGain
from bigkingxxl.images import ImageSource
from bigkingxxl.inference.predictor import Predictor
from bigkingxxl.test_time_augmentation import as_text, view_count

AUTO = "auto"
TRIED: tuple[str, ...] = ("flips",)  # tried by default
TIMED_IMAGES = 3


@dataclass(frozen=True)
class AugmentationTrial:
    """A test-time augmentation that was compared with none.

    Attributes:
        tta: The names of the augmentations.
        is_asked: Whether the user requested it, whatever its gain.
        gain: The gain of the cross-fitted score; None if it is unknown.
        seconds: The factor by which the time per image increases.
    """

    tta: tuple[str, ...]
    is_asked: bool
    gain: PairedGain | None
    seconds: float

    @classmethod
    def of(
        cls, tta: tuple[str, ...], is_asked: bool, before: CompetitionScore | None,
        after: CompetitionScore | None, groups: Mapping[str, str], seconds: float, seed: int = 0,
    ) -> AugmentationTrial:  # fmt: skip
        """Create the trial from the cross-fitted scores without and with it, which may be None."""
        gain = None
        if before is not None and after is not None:
            gain = PairedGain.of(before.scores, after.scores, list(before.scores), groups, seed)
        return cls(tta, is_asked, gain, seconds)

    @property
    def is_on(self) -> bool:
        """Whether the augmentation should be kept."""
        return self.is_asked or (self.gain is not None and self.gain.is_clear)

    def as_dict(self) -> dict[str, Any]:
        """Return values for JSON."""
        return {
            "tta": list(self.tta), "views": view_count(self.tta), "is_asked": self.is_asked,
            "gain": None if self.gain is None else self.gain.as_dict(),
            "seconds_ratio": self.seconds, "is_on": self.is_on,
        }  # fmt: skip

    def __str__(self) -> str:
        worth = "not known (the images cannot be halved)" if self.gain is None else f"{self.gain}"
        if self.is_asked:
            verdict = "it is on, as asked for"
        elif self.is_on:
            verdict = "it is on: that is more than chance explains"
        else:
            verdict = f"it stays off (--tta {as_text(self.tta)} turns it on in any case)"
        return (
            f"Test-time augmentation {as_text(self.tta)}: {worth}, cross-fitted; an image takes "
            f"{self.seconds:.1f} times as long; {verdict}."
        )


def what_to_try(
    asked: tuple[str, ...] | None, own: tuple[str, ...]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the augmentation to start with and the one to try in addition; () for none.

    Args:
        asked: The user's choice; None if there is none.
        own: The augmentation of the model.
    """
    if asked is None:
        return own, (() if own else TRIED)
    return (), asked


def seconds_ratio(
    before: Predictor, after: Predictor, open_source: Callable[[str], ImageSource],
    ids: Sequence[str],
) -> float:  # fmt: skip
    """Return the ratio of the times per image of two predictors."""
    sources = [open_source(image_id) for image_id in ids[:TIMED_IMAGES]]
    times = []
    for predictor in (before, after):
        predictor.candidates(sources[0])  # the first image warms up
        began = time.perf_counter()
        for source in sources:
            predictor.candidates(source)
        times.append(time.perf_counter() - began)
    return times[1] / max(times[0], 1e-9)

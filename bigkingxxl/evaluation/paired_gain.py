"""The gain of one way of predicting over another on the same images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bigkingxxl.evaluation.bootstrap import Interval, bootstrap_interval, member_of
from bigkingxxl.evaluation.confidence_bound import lower_confidence_bound

CLEAR = 0.001  # of mAP; a smaller gain is negligible


@dataclass(frozen=True)
class PairedGain:
    """The mean gain over images.

    Attributes:
        before: The mean score before the change.
        after: The mean score after it.
        interval: The 95 % interval of the gain over groups of images; None for a single group.
        at_least: The lower end of the one-sided 90 % interval of the gain.
    """

    before: float
    after: float
    interval: Interval | None
    at_least: float

    @classmethod
    def of(
        cls, before: Mapping[str, float], after: Mapping[str, float], ids: Sequence[str],
        groups: Mapping[str, str], seed: int = 0,
    ) -> PairedGain:  # fmt: skip
        """Compute the gain from the scores of images by id."""
        first, second = (np.array([each[name] for name in ids]) for each in (before, after))
        interval = bootstrap_interval(second - first, member=member_of(ids, groups), seed=seed)
        return cls(
            float(first.mean()), float(second.mean()),
            None if np.isnan(interval[0]) else interval,
            lower_confidence_bound(second - first, ids, groups),
        )  # fmt: skip

    @property
    def gain(self) -> float:
        """The mean gain."""
        return self.after - self.before

    @property
    def is_clear(self) -> bool:
        """Whether the gain exceeds chance and is not negligible."""
        return self.at_least > CLEAR

    def as_dict(self) -> dict[str, Any]:
        """Return values for JSON."""
        at_least = None if np.isinf(self.at_least) else self.at_least
        return {"before": self.before, "after": self.after, "gain": self.gain,
                "interval_95": self.interval, "at_least": at_least,
                "is_clear": self.is_clear}  # fmt: skip

    def __str__(self) -> str:
        between = ""
        if self.interval is not None:
            between = f", 95 %: {self.interval[0]:+.4f} to {self.interval[1]:+.4f}"
        return f"{self.gain:+.4f} mAP{between}"

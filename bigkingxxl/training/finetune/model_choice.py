"""Compare models on images that none of them was trained on, and decide which one is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.evaluation.bootstrap import RESAMPLES, Interval, interval_of
from bigkingxxl.evaluation.competition_map import CompetitionScore, competition_map
from bigkingxxl.evaluation.confidence_bound import lower_confidence_bound
from bigkingxxl.instances import Instances

Float64 = NDArray[np.float64]
START, SETTINGS, TRAINED = "start", "settings", "trained"
LEAST_GAIN = 0.002  # a smaller gain changes nothing, however certain
WORDS = {
    SETTINGS: "the same network with settings for these images",
    TRAINED: "the newly trained network",
}


@dataclass(frozen=True)
class Gain:
    """The gain of units over an earlier model.

    Attributes:
        mean: The mean gain of the scores.
        interval: The 95 % bootstrap interval over units.
        chance: The fraction of resamples with a gain above 0.
        sure: The lower confidence bound of the mean gain at the requested confidence.
    """

    mean: float
    interval: Interval
    chance: float
    sure: float

    @classmethod
    def of(
        cls, gains: Float64, ids: Sequence[str], groups: Mapping[str, str], confidence: float
    ) -> Gain:
        """Compute the gain from float64[N] gains of units, resampled by group (Efron 1979)."""
        means = group_bootstrap(gains, ids, groups)
        return cls(
            float(gains.mean()), interval_of(means), float((means > 0).mean()),
            lower_confidence_bound(gains, ids, groups, confidence),
        )  # fmt: skip


def group_bootstrap(
    values: Float64, ids: Sequence[str], groups: Mapping[str, str], *, seed: int = 0
) -> Float64:
    """Compute means of resampled values, float64[R], drawing groups with replacement."""
    _, member = np.unique([groups[each] for each in ids], return_inverse=True)
    sums, counts = np.bincount(member, values), np.bincount(member)
    drawn = np.random.default_rng(seed).integers(0, len(sums), (RESAMPLES, len(sums)))
    found: Float64 = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    return found


@dataclass(frozen=True, eq=False)
class Outcome:
    """The result of one model on units that it was not trained on.

    Attributes:
        name: 'start', 'settings' or 'trained'.
        score: The score of the units.
        gain: The gain over the start.
    """

    name: str
    score: CompetitionScore
    gain: Gain | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        found: dict[str, Any] = {
            "map": self.score.mean,
            "interval_95": known(self.score.interval),
            "ap50": self.score.by_threshold[50],
        }
        if self.gain is not None:
            found |= {
                "gain": self.gain.mean,
                "gain_interval_95": known(self.gain.interval),
                "chance_better": self.gain.chance,
            }
        return found


def known(interval: Interval) -> list[float] | None:
    """Convert an interval for JSON; None if there is a single unit."""
    return list(interval) if np.isfinite(interval).all() else None


class Trial:
    """Scores models on the same units one after the other, and keeps the best clear improvement.

    Args:
        truth: The annotated cells by unit.
        groups: The group of each unit.
        confidence: The required confidence that a gain is above 0.
    """

    def __init__(
        self, truth: Mapping[str, Instances], groups: Mapping[str, str], confidence: float
    ) -> None:
        self.truth, self.groups, self.confidence = truth, groups, confidence
        self.outcomes: dict[str, Outcome] = {}
        self.kept = START

    def add(self, name: str, cells: Mapping[str, Instances]) -> Outcome:
        """Score the cells of a model; it is kept if it is clearly better than the best so far.

        The first model is the start.
        """
        score = competition_map(self.truth, cells, {})
        gain = None if name == START else self._gain(score, START)
        self.outcomes[name] = Outcome(name, score, gain)
        if name != START:
            against = self._gain(score, self.kept)
            if against.mean > LEAST_GAIN and against.sure > 0:
                self.kept = name
        return self.outcomes[name]

    @property
    def start(self) -> CompetitionScore:
        """The score of the start."""
        return self.outcomes[START].score

    def _gain(self, score: CompetitionScore, before: str) -> Gain:
        ids = list(self.truth)
        old = self.outcomes[before].score.scores
        gains = np.array([score.scores[each] - old[each] for each in ids])
        return Gain.of(gains, ids, self.groups, self.confidence)

    @property
    def per_unit(self) -> dict[str, dict[str, float]]:
        """Return the score of each model by unit."""
        return {
            each: {name: one.score.scores[each] for name, one in self.outcomes.items()}
            for each in self.truth
        }

    def sentence(self, kind: str) -> str:
        """Describe the result in plain words.

        Args:
            kind: What the units are: 'images' or 'regions'.
        """
        start, count = self.start.mean, len(self.truth)
        where = f"On {count} {kind} that were not used for training"
        if self.kept != START:
            gain = self.outcomes[self.kept].gain
            return (
                f"{where}, {WORDS[self.kept]} scores {self.outcomes[self.kept].score.mean:.3f} and "
                f"the starting model {start:.3f} ({_gain_text(gain)}). The new model is kept."
            )
        rest = [each for name, each in self.outcomes.items() if name != START]
        best = max(rest, key=lambda each: each.score.mean, default=None)
        if best is None or best.gain is None or best.gain.mean <= 0:
            return (
                f"{where}, no change was better than the starting model ({start:.3f}). The "
                "starting model is kept."
            )
        return (
            f"{where}, {WORDS[best.name]} scores {best.score.mean:.3f} and the starting model "
            f"{start:.3f} ({_gain_text(best.gain)}). This gain may be due to chance, so the "
            "starting model is kept."
        )


def _gain_text(gain: Gain | None) -> str:
    if gain is None:
        return "the gain is unknown"
    low, high = gain.interval
    return f"gain {gain.mean:+.3f}, 95 % interval {low:+.3f} to {high:+.3f}"

"""When test-time augmentation is turned on, and how its gain is reported."""

from __future__ import annotations

import time

import numpy as np
import pytest

from bigkingxxl.candidates import Candidates
from bigkingxxl.evaluation.augmentation_trial import AugmentationTrial, seconds_ratio, what_to_try
from bigkingxxl.evaluation.paired_gain import PairedGain
from bigkingxxl.images import ArrayImage, ImageSource

IDS = [f"image{number}" for number in range(20)]
ALONE: dict[str, str] = {}
Scores = dict[str, float]


def scores(gain: float, noise: float) -> tuple[Scores, Scores]:
    rng = np.random.default_rng(0)
    before = {name: float(rng.uniform(0.2, 0.5)) for name in IDS}
    return before, {name: each + gain + float(rng.normal(0, noise))
                    for name, each in before.items()}  # fmt: skip


def test_the_mean_gain_and_its_interval() -> None:
    before, after = scores(0.02, 0.01)
    found = PairedGain.of(before, after, IDS, ALONE)
    assert found.gain == pytest.approx(np.mean([after[name] - before[name] for name in IDS]))
    assert found.interval is not None
    assert found.interval[0] < found.gain < found.interval[1]
    assert found.at_least < found.gain
    assert found.is_clear


@pytest.mark.parametrize(
    ("gain", "noise", "is_asked", "is_on"),
    [(0.02, 0.01, False, True), (0.02, 0.2, False, False), (-0.02, 0.01, False, False),
     (-0.02, 0.01, True, True), (0.0005, 0.0, False, False)],
)  # fmt: skip
def test_it_is_on_if_requested_or_clearly_better(
    gain: float, noise: float, is_asked: bool, is_on: bool
) -> None:
    found = PairedGain.of(*scores(gain, noise), IDS, ALONE)
    trial = AugmentationTrial(("flips",), is_asked, found, 4.0)
    assert trial.is_on is is_on
    assert trial.as_dict()["is_on"] is is_on
    assert f"{found.gain:+.4f}" in str(trial)
    assert "4.0 times" in str(trial)


def test_a_single_field_gives_no_gain() -> None:
    before, after = scores(0.02, 0.01)
    found = PairedGain.of(before, after, IDS, dict.fromkeys(IDS, "one"))
    assert found.interval is None
    assert not AugmentationTrial(("flips",), False, found, 4.0).is_on
    assert not AugmentationTrial(("flips",), False, None, 4.0).is_on


def test_augmentations_to_try() -> None:
    assert what_to_try(None, ()) == ((), ("flips",))
    assert what_to_try(None, ("turns",)) == (("turns",), ())
    assert what_to_try((), ("turns",)) == ((), ())
    assert what_to_try(("scales",), ("turns",)) == ((), ("scales",))


class Slow:
    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def candidates(self, source: ImageSource) -> Candidates:
        time.sleep(self.seconds)
        return Candidates.empty(source.shape)


def test_seconds_are_of_images() -> None:
    image = ArrayImage(np.zeros((8, 8), np.float32))
    assert seconds_ratio(Slow(0.01), Slow(0.1), lambda _: image, IDS) > 1.5

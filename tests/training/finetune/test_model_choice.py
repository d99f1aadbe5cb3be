"""A new model is kept only if it is significantly better on held-out images."""

from __future__ import annotations

import numpy as np
import pytest

from bigkingxxl.instances import Instances
from bigkingxxl.training.finetune.model_choice import (
    SETTINGS,
    START,
    TRAINED,
    Gain,
    Trial,
    group_bootstrap,
)

SIZE = (60, 60)


def cells(*corners: tuple[int, int]) -> Instances:
    return Instances.from_crops(list(corners), [np.ones((10, 10), bool)] * len(corners), SIZE)


CORNERS = [(0, 0), (0, 20), (20, 0), (20, 20)]
TRUTH = {f"u{place}": cells(*CORNERS) for place in range(5)}
GROUPS = {name: name for name in TRUTH}


def half() -> dict[str, Instances]:
    return {name: cells(*CORNERS[:2]) for name in TRUTH}


def test_a_consistent_improvement_is_kept() -> None:
    trial = Trial(TRUTH, GROUPS, 0.9)
    trial.add(START, half())
    outcome = trial.add(SETTINGS, TRUTH)
    assert trial.kept == SETTINGS
    assert outcome.gain is not None
    assert outcome.gain.mean == pytest.approx(0.5)
    assert outcome.gain.interval == pytest.approx((0.5, 0.5))
    assert outcome.gain.chance == 1.0
    assert "is kept" in trial.sentence("images")


def test_a_chance_improvement_is_not_kept() -> None:
    trial = Trial(TRUTH, GROUPS, 0.9)
    trial.add(START, half())
    mixed = {**half(), "u0": TRUTH["u0"], "u1": cells(CORNERS[0])}
    trial.add(TRAINED, mixed)
    assert trial.outcomes[TRAINED].score.mean > trial.outcomes[START].score.mean
    assert trial.kept == START
    assert f"{trial.start.mean:.3f}" in trial.sentence("images")


def test_training_has_to_beat_the_best_so_far() -> None:
    trial = Trial(TRUTH, GROUPS, 0.9)
    trial.add(START, half())
    trial.add(SETTINGS, TRUTH)
    trial.add(TRAINED, {name: cells(*CORNERS[:3]) for name in TRUTH})
    assert trial.kept == SETTINGS
    assert trial.per_unit["u3"] == pytest.approx({START: 0.5, SETTINGS: 1.0, TRAINED: 0.75})


def test_a_single_group_proves_nothing() -> None:
    trial = Trial(TRUTH, dict.fromkeys(TRUTH, "one"), 0.9)
    trial.add(START, half())
    trial.add(TRAINED, TRUTH)
    assert trial.kept == START


def test_groups_are_drawn_whole() -> None:
    ids = [f"u{place}" for place in range(6)]
    values = np.array([1.0, 1.0, 1.0, 0.0, 0.0, 0.0])
    means = group_bootstrap(values, ids, {each: "ab"[each[1] > "2"] for each in ids})
    assert set(np.unique(means)) == {0.0, 0.5, 1.0}
    gain = Gain.of(values, ids, {each: each for each in ids}, 0.9)
    assert gain.mean == 0.5
    assert 0 <= gain.interval[0] < 0.5 < gain.interval[1] <= 1

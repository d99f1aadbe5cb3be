from __future__ import annotations

import numpy as np
import pytest

from bigkingxxl.evaluation.bootstrap import (
    bootstrap_interval,
    member_of,
    resampled_weights,
    weighted_interval,
)

VALUES = np.random.default_rng(1).normal(0.3, 0.1, 400)


def test_the_interval_of_many_values_is_the_one_of_the_normal_distribution() -> None:
    error = 1.96 * VALUES.std() / np.sqrt(len(VALUES))
    low, high = bootstrap_interval(VALUES)
    assert low == pytest.approx(VALUES.mean() - error, abs=error / 10)
    assert high == pytest.approx(VALUES.mean() + error, abs=error / 10)


def test_a_lower_level_is_a_narrower_interval() -> None:
    wide, narrow = bootstrap_interval(VALUES), bootstrap_interval(VALUES, level=0.5)
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


def test_values_that_do_not_vary_have_no_width() -> None:
    assert bootstrap_interval(np.array([0.25, 0.25, 0.25])) == (0.25, 0.25)


def test_a_single_value_or_group_proves_nothing() -> None:
    assert np.isnan(bootstrap_interval(np.array([0.25]))).all()
    assert np.isnan(bootstrap_interval(VALUES, member=np.zeros(len(VALUES), int))).all()


def test_groups_that_err_together_make_the_interval_wider() -> None:
    """Ten copies of forty values carry no more information than the forty."""
    some = VALUES[:40]
    low, high = bootstrap_interval(some)
    copies, member = np.repeat(some, 10), np.repeat(np.arange(40), 10)
    grouped = bootstrap_interval(copies, member=member)
    assert grouped == pytest.approx((low, high), abs=(high - low) / 10)
    alone = bootstrap_interval(copies)
    assert alone[1] - alone[0] < (high - low) / 2


def test_groups_are_drawn_whole() -> None:
    weights = resampled_weights(np.array([0, 1, 0, 2, 1]), resamples=50)
    assert (weights[:, 0] == weights[:, 2]).all()
    assert (weights[:, 1] == weights[:, 4]).all()
    assert (weights[:, [0, 1, 3]].sum(axis=1) == 3).all()
    assert member_of(["a", "b", "c"], {"a": "c", "c": "c"}).tolist()[::2] == [1, 1]


def test_the_seed_decides() -> None:
    assert bootstrap_interval(VALUES, seed=5) == bootstrap_interval(VALUES, seed=5)
    assert bootstrap_interval(VALUES, seed=5) != bootstrap_interval(VALUES, seed=6)


def test_strata_vary_on_their_own_and_count_by_their_weight() -> None:
    constant = {"a": np.full(5, 0.2), "b": np.full(9, 0.6)}
    assert weighted_interval(constant, {"a": 1, "b": 3, "unused": 9}) == pytest.approx((0.5, 0.5))
    halves = {"a": VALUES[:200], "b": VALUES[200:]}
    low, high = weighted_interval(halves, {"a": 1, "b": 1})
    spread = np.sqrt(VALUES[:200].var() / 200 + VALUES[200:].var() / 200) / 2
    assert high - low == pytest.approx(2 * 1.96 * spread, rel=0.1)

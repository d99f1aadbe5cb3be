from __future__ import annotations

import numpy as np
import pytest

from bigkingxxl.evaluation.bootstrap import bootstrap_interval, weighted_interval

VALUES = np.random.default_rng(1).normal(0.3, 0.1, 400)


def test_the_interval_of_many_values_is_the_one_of_the_normal_distribution() -> None:
    error = 1.96 * VALUES.std() / np.sqrt(len(VALUES))
    low, high = bootstrap_interval(VALUES)
    assert low == pytest.approx(VALUES.mean() - error, abs=error / 10)
    assert high == pytest.approx(VALUES.mean() + error, abs=error / 10)


def test_a_lower_level_is_a_narrower_interval() -> None:
    wide, narrow = bootstrap_interval(VALUES), bootstrap_interval(VALUES, level=0.5)
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


@pytest.mark.parametrize("values", [[0.25], [0.25, 0.25, 0.25]])
def test_values_that_do_not_vary_have_no_width(values: list[float]) -> None:
    assert bootstrap_interval(np.array(values)) == (0.25, 0.25)


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

"""Fitting the quality of images: a known relation is recovered, and wrong ones are not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bigkingxxl.data.base import Dataset
from bigkingxxl.errors import InputError
from bigkingxxl.evaluation.quality_fit import (
    FALSE_ALARMS,
    POOR,
    Example,
    cross_fitted,
    examples_of,
    fit_quality,
    limit_of,
)
from bigkingxxl.expected_quality import DIRECTIONS
from bigkingxxl.instances import Instances
from bigkingxxl.model_card import ModelCard
from tests.refusals import refused
from tests.threshold import Threshold, save_images, squares

Values = dict[str, float]


def examples(true_of: Callable[[Values], float], count: int = 200) -> list[Example]:
    """Images of four sets with random values, from which their accuracy follows."""
    draws = np.random.default_rng(0)
    found = []
    for index in range(count):
        values = {name: float(draws.uniform(0, 1)) for name in DIRECTIONS}
        found.append(Example(f"set{index % 4}", str(index), values, true_of(values)))
    return found


def test_a_linear_relation_is_found_again() -> None:
    known = examples(lambda v: 0.3 + 0.4 * v["hits"] - 0.2 * v["rejected"])
    learnt = fit_quality(known)
    for each in known:
        assert learnt.of(each.values) == pytest.approx(each.true, abs=0.02)
    assert learnt.sets == ("set0", "set1", "set2", "set3")
    assert learnt.images == 200
    np.testing.assert_allclose(cross_fitted(known), [each.true for each in known], atol=0.03)


def test_inputs_with_the_wrong_sign_are_left_out() -> None:
    learnt = fit_quality(examples(lambda v: 0.3 + 0.4 * v["hits"] + 0.2 * v["rejected"]))
    assert "rejected" not in learnt.terms
    assert learnt.terms["hits"].weight > 0.05


def test_a_data_set_is_predicted_from_the_others() -> None:
    """One set is worse than its features suggest."""
    known = examples(lambda v: 0.3 + 0.4 * v["hits"])
    odd = [Example("odd", str(k), each.values, 0.0) for k, each in enumerate(known[:20])]
    expected = cross_fitted([*known, *odd])
    np.testing.assert_allclose(expected[200:], [each.true for each in known[:20]], atol=0.03)


def test_one_in_twenty_good_images_is_warned_of() -> None:
    true = np.linspace(0, 1, 1001)
    expected = np.random.default_rng(1).permutation(true) * 0.3
    low = limit_of(expected, true)
    assert (expected[true >= POOR] < low).mean() == pytest.approx(
        max(FALSE_ALARMS, 0.167), abs=0.02
    )
    assert limit_of(expected, np.zeros(1001)) == 0.25
    assert limit_of(true, true) == pytest.approx(0.1925, abs=0.002)


def test_too_few_examples_are_refused() -> None:
    with refused(InputError, found=19):
        fit_quality(examples(lambda v: v["hits"], 19))
    with pytest.raises(InputError):
        fit_quality(examples(lambda _: 0.5))


def test_examples_are_predicted_like_images(tmp_path: Path) -> None:
    counts = (6, 0)
    paths = {path.stem: path for path in save_images(tmp_path, counts)}
    annotated = dict(zip(paths, (3, 0), strict=True))
    data = Dataset(
        layout="test", root=tmp_path, ids=tuple(paths), type_names=("cell",), paths=paths,
        read_instances=lambda name: Instances.from_label_map(squares(annotated[name])),
    )  # fmt: skip
    card = ModelCard(method="none", settings={}, type_names=("cell",))
    (only,) = examples_of(Threshold(), card, "squares", data, data.ids)
    assert (only.set_name, only.image) == ("squares", "i00")
    assert only.true == pytest.approx(3 / 6)  # three of six squares are annotated
    assert only.values["rejected"] == 0
    assert only.values["hits"] == pytest.approx((0.75 - 0.475) / 0.5, abs=1e-6)

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from bigkingxxl.errors import InputError
from bigkingxxl.evaluation.competition_map import (
    CHALLENGE_MIX,
    MatchCounts,
    challenge_mix,
    competition_map,
    match_counts,
)
from bigkingxxl.evaluation.ranking import THRESHOLDS_PERCENT
from bigkingxxl.instances import Instances
from bigkingxxl.io.annotations.kaggle import read_annotations
from tests.refusals import refused
from tests.support import instances_of

SIZE = (4, 200)
Strip = tuple[int, int, int]  # row, start, stop


def strips(*cells: Strip | None, size: tuple[int, int] = SIZE) -> Instances:
    """One cell per strip; None is a cell without pixels."""
    runs = [cell for cell in cells if cell is not None]
    owner = [place for place, cell in enumerate(cells) if cell is not None]
    return Instances.from_runs(
        np.array(runs, np.int64).reshape(-1, 3), np.array(owner, np.int64), len(cells), size
    )


A, B = (0, 0, 100), (1, 0, 100)

CASES = {
    "nothing to find, nothing found": ([], [], 0, 0, 0, 1.0),
    "nothing found": ([A, B], [], 0, 0, 2, 0.0),
    "nothing to find": ([], [A], 0, 1, 0, 0.0),
    "all found": ([A, B], [B, A], 2, 0, 0, 1.0),
    "one of two found": ([A, B], [A], 1, 0, 1, 0.5),
    "one found, one false": ([A], [A, B], 1, 1, 0, 0.5),
    "cells without pixels do not exist": ([A, None], [None, A], 1, 0, 0, 1.0),
    "only cells without pixels": ([None], [None], 0, 0, 0, 1.0),
    # 60 of 100 pixels: a match at 0.50 and 0.55, but not at 0.60.
    "a hit at two thresholds": ([A], [(0, 0, 60)], 1, 0, 0, 0.2),
    # 2 of 4 pixels.
    "an IoU of one half": ([(0, 0, 3)], [(0, 1, 4)], 0, 1, 1, 0.0),
    "a cell found as its two halves": ([A], [(0, 0, 50), (0, 50, 100)], 0, 2, 1, 0.0),
    # One predicted cell matches both, the second with an IoU of 0.9: not at 0.90 and 0.95.
    "two truths over one spot": ([A, (0, 0, 90)], [A], 2, 0, 0, (8 * 1 + 2 * 0.5) / 10),
    "a truth given twice": ([A, A], [A], 2, 0, 0, 1.0),
    # 0..60 is hit by 0..50 (5/6), 40..100 by 50..100 (5/6): at 0.50 ... 0.80.
    "overlapping truths, each found": (
        [(0, 0, 60), (0, 40, 100)], [(0, 0, 50), (0, 50, 100)], 2, 0, 0, 0.7,
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("truth", "predicted", "tp", "fp", "fn", "score"), CASES.values(), ids=CASES.keys()
)
def test_hand_computed_cases(
    truth: Sequence[Strip | None],
    predicted: Sequence[Strip | None],
    tp: int,
    fp: int,
    fn: int,
    score: float,
) -> None:
    counts = match_counts(strips(*truth), strips(*predicted))
    assert (counts.tp[0], counts.fp[0], counts.fn[0]) == (tp, fp, fn)
    assert counts.score == pytest.approx(score, abs=1e-12)


@pytest.mark.parametrize("percent", THRESHOLDS_PERCENT)
@pytest.mark.parametrize("pixels", [20, 100, 180])
def test_an_iou_of_exactly_a_threshold_is_no_hit(percent: int, pixels: int) -> None:
    truth = strips((0, 0, pixels))
    exact = match_counts(truth, strips((0, 0, pixels * percent // 100)))
    above = match_counts(truth, strips((0, 0, pixels * percent // 100 + 1)))
    place = THRESHOLDS_PERCENT.index(percent)
    assert exact.tp[place] == 0
    assert above.tp[place] == 1
    assert exact.tp.tolist() == [int(other < percent) for other in THRESHOLDS_PERCENT]


def naive(truth: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> list[tuple[int, int, int]]:
    """Kaggle's counts, as in its notebooks, for dense masks [N, H, W]; exact fractions."""
    truth = truth[truth.any((1, 2))]
    predicted = predicted[predicted.any((1, 2))]
    iou = [
        [Fraction(int((one & other).sum()), int((one | other).sum())) for other in predicted]
        for one in truth
    ]
    result = []
    for percent in THRESHOLDS_PERCENT:
        matches = np.zeros((len(truth), len(predicted)), int)
        for i, j in np.ndindex(matches.shape):
            matches[i, j] = iou[i][j] > Fraction(percent, 100)
        tp = int((matches.sum(axis=1) == 1).sum())
        fp = int((matches.sum(axis=0) == 0).sum())
        fn = int((matches.sum(axis=1) == 0).sum())
        result.append((tp, fp, fn))
    return result


@st.composite
def scenes(draw: st.DrawFn) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Truths that may overlap, and similar but disjoint predictions."""
    height, width = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    count = draw(st.integers(0, 4))
    truth = draw(hnp.arrays(bool, (count, height, width)))
    labels = draw(hnp.arrays(np.int8, (height, width), elements=st.integers(0, 4)))
    if count and draw(st.booleans()):
        painted = np.where(truth.any(0), truth.argmax(0) + 1, 0)
        noise = draw(hnp.arrays(np.int8, (height, width), elements=st.integers(0, 5)))
        labels = np.where(noise > 0, painted, labels)
    predicted = labels[None] == np.arange(1, 5)[:, None, None]
    return truth, predicted


@given(scenes())
def test_counts_are_those_of_a_naive_dense_implementation(
    scene: tuple[NDArray[np.bool_], NDArray[np.bool_]],
) -> None:
    truth, predicted = scene
    counts = match_counts(instances_of(truth), instances_of(predicted))
    found = list(zip(counts.tp.tolist(), counts.fp.tolist(), counts.fn.tolist(), strict=True))
    assert found == naive(truth, predicted)


def grid_of_cells(rows: int, cols: int) -> NDArray[np.int32]:
    """A label map of cells of 4 x 3 pixels, one free pixel between them."""
    cells = np.zeros((rows, cols, 5, 4), np.int32)
    cells[:, :, :4, :3] = np.arange(1, rows * cols + 1).reshape(rows, cols, 1, 1)
    return cells.transpose(0, 2, 1, 3).reshape(rows * 5, cols * 4)


def test_more_than_255_cells_in_shuffled_order() -> None:
    labels = grid_of_cells(20, 20)
    names = np.random.default_rng(0).permutation(np.arange(1, 1000))[:401]
    names[0] = 0
    shuffled = Instances.from_label_map(names[labels])
    counts = match_counts(Instances.from_label_map(labels), shuffled)
    assert counts.tp.tolist() == [400] * 10
    assert counts.score == 1.0
    # With eight bits, 144 cells share a number with another, and one becomes background.
    wrapped = match_counts(Instances.from_label_map(labels), Instances.from_label_map(labels % 256))
    assert wrapped.tp[0] == 400 - 2 * 144 - 1


def test_counts_of_several_images_add_up() -> None:
    one = match_counts(strips(A, B), strips(A))
    two = match_counts(strips(), strips(B))
    both = one + two
    assert isinstance(both, MatchCounts)
    assert (both.tp[0], both.fp[0], both.fn[0]) == (1, 1, 1)
    assert both.score == pytest.approx(1 / 3)


def test_overlapping_predictions_are_refused() -> None:
    overlapping = strips((2, 10, 20), (2, 19, 30))
    with refused(InputError, found=(2, 19)):
        match_counts(strips(A), overlapping)
    with refused(InputError, "x", found=(2, 19)):
        competition_map({"x": strips(A)}, {"x": overlapping}, {})
    touching = strips((2, 10, 20), (2, 20, 30), (3, 10, 30))
    assert match_counts(touching, touching).score == 1.0


def test_cells_of_another_size_are_refused() -> None:
    with pytest.raises(InputError, match=r"200 x 5 pixels.*200 x 4"):
        match_counts(strips(A), strips(A, size=(5, 200)))


# ---- sets of images ---------------------------------------------------------------------------


def test_a_missing_image_scores_0() -> None:
    truth = {"a": strips(A), "b": strips(A), "blank": strips()}
    score = competition_map(truth, {"a": strips(A), "elsewhere": strips(A)}, {})
    assert score.scores == {"a": 1.0, "b": 0.0, "blank": 0.0}
    assert score.mean == pytest.approx(1 / 3)
    assert (score.scored, score.missing) == (("a",), ("b", "blank"))
    named = competition_map(truth, {name: strips() for name in truth}, {})
    assert named.scores == {"a": 0.0, "b": 0.0, "blank": 1.0}
    narrowed = competition_map({"a": truth["a"]}, {"a": strips(A)}, {})
    assert narrowed.mean == 1.0


def test_no_images_at_all_are_refused() -> None:
    with refused(InputError):
        competition_map({}, {"a": strips(A)}, {})


def three_types() -> tuple[dict[str, Instances], dict[str, Instances], dict[str, str | None]]:
    """One astro image at 0.5, two cort at 1 and 0.2, one shsy5y at 0."""
    truth = {name: strips(A, B) for name in ("astro", "cort1", "cort2", "shsy5y")}
    predicted = {
        "astro": strips(A),
        "cort1": strips(A, B),
        "cort2": strips((0, 0, 60), (1, 0, 60)),
        "shsy5y": strips(),
    }
    return truth, predicted, {name: name.rstrip("12") for name in truth}


def test_means_by_type_by_threshold_and_in_the_challenge_mix() -> None:
    score = competition_map(*three_types())
    assert score.by_type == pytest.approx({"astro": 0.5, "cort": 0.6, "shsy5y": 0.0})
    assert score.mean == pytest.approx((0.5 + 1 + 0.2 + 0) / 4)
    assert score.challenge_mix == pytest.approx((131 * 0.5 + 320 * 0.6 + 155 * 0) / 606)
    assert score.challenge_mix_note is None
    assert score.by_threshold[50] == pytest.approx((0.5 + 1 + 1 + 0) / 4)
    assert score.by_threshold[60] == pytest.approx((0.5 + 1 + 0 + 0) / 4)
    assert score.by_type_and_threshold["cort"][55] == pytest.approx(1.0)
    assert np.mean(list(score.by_threshold.values())) == pytest.approx(score.mean)
    assert score.per_image["cort2"].cells == score.per_image["cort2"].predicted == 2


def test_a_type_that_no_image_shows_has_no_score() -> None:
    """Lesson 9: predicting nothing where a type has no cells is no achievement."""
    truth = {"a": strips(A), "b": strips(B)}
    types = {"a": "cort", "b": "cort"}
    score = competition_map(truth, {"a": strips(), "b": strips()}, types)
    assert score.by_type == {"cort": 0.0}
    assert score.challenge_mix is None
    assert score.challenge_mix_interval is None
    assert score.challenge_mix_note == "no scored image shows astro or shsy5y"
    assert score.as_dict()["challenge_mix"] is None


def test_nothing_is_said_of_the_challenge_mix_about_other_cells() -> None:
    score = competition_map({"a": strips(A)}, {"a": strips()}, {"a": "yeast"})
    assert score.challenge_mix is None
    assert score.challenge_mix_note is None


def test_an_image_without_type_counts_in_the_plain_mean_only() -> None:
    truth = {"a": strips(A), "blank": strips()}
    score = competition_map(truth, {"a": strips(), "blank": strips()}, {"a": "cort", "blank": None})
    assert score.mean == 0.5
    assert score.by_type == {"cort": 0.0}


def test_the_challenge_mix_needs_its_three_types_and_no_more() -> None:
    assert sum(CHALLENGE_MIX.values()) == 606
    scores = {"astro": 0.1, "cort": 0.2, "shsy5y": 0.3}
    expected = (131 * 0.1 + 320 * 0.2 + 155 * 0.3) / 606
    assert challenge_mix({**scores, "hela": 1.0}) == pytest.approx(expected)
    assert challenge_mix({"astro": 1.0, "cort": 1.0}) is None


def test_intervals_hold_the_mean_and_repeat_with_the_seed() -> None:
    truth, predicted, types = three_types()
    score = competition_map(truth, predicted, types, seed=3)
    again = competition_map(truth, predicted, types, seed=3)
    assert score.interval == again.interval
    assert score.interval[0] < score.mean < score.interval[1]
    assert score.challenge_mix is not None
    assert score.challenge_mix_interval is not None
    low, high = score.challenge_mix_interval
    # Only cort has two images, at 1 and 0.2: the mix lies between the extremes of that type.
    ends = [(131 * 0.5 + 320 * cort) / 606 for cort in (0.2, 1.0)]
    assert [low, high] == pytest.approx(ends)


def test_painting_the_truth_into_one_label_map_reaches_98_per_cent(sartorius: Path) -> None:
    table = read_annotations(sartorius / "train.csv")
    truth = {image_id: table.instances(image_id) for image_id in table.ids}
    painted = {
        image_id: Instances.from_label_map(cells.label_map(np.argsort(-cells.areas())))
        for image_id, cells in truth.items()
    }
    assert competition_map(truth, painted, {}).mean >= 0.98

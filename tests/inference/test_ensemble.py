"""Ensembles of stand-in models: fused, or by type, and their joint card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from bigkingxxl.candidates import Candidates
from bigkingxxl.errors import InputError
from bigkingxxl.images import ArrayImage, ImageSource
from bigkingxxl.inference.ensemble import Ensemble, Member, joint_types
from bigkingxxl.inference.predictor import Predictor
from bigkingxxl.inference.selection import select
from bigkingxxl.operating_points import OperatingPoints
from tests.refusals import refused

SIZE = (40, 60)
IMAGE = ArrayImage(np.zeros(SIZE))
A, B, AB, CELL = ("a",), ("b",), ("a", "b"), ("cell",)


class Fixed:
    """Detects given squares in any image; each is (row, side, score) and of the given types."""

    def __init__(
        self,
        squares: Sequence[tuple[int, int, float]],
        names: tuple[str, ...] = AB,
        shares: tuple[float, ...] | None = None,
        relative: float = 1.0,
    ) -> None:
        boxes = [(row, 5, row + side, 5 + side) for row, side, _ in squares]
        crops = [np.full((side, side), 255, np.uint8) for _, side, _ in squares]
        given = shares or (1.0, *[0.0] * (len(names) - 1))
        found = Candidates.from_crops(
            SIZE, np.array(boxes), crops, np.array([score for *_, score in squares]),
            np.tile(np.array(given), (len(squares), 1)), names,
        )  # fmt: skip
        self.found, self.asked = replace(found, scale_ratio=relative), 0

    def candidates(self, source: ImageSource) -> Candidates:
        assert source.shape == self.found.size
        self.asked += 1
        return self.found


def member(model: Fixed, weight: float = 1.0, threshold: float = 0.3) -> Member:
    points = OperatingPoints.model_validate(
        {"default": {"select": {"score_threshold": threshold, "minimum_area": 0}}}
    )
    return Member(model, model.found.type_names, points, weight)


def kinds(found: Candidates) -> set[str]:
    """The types of the selected cells."""
    points = OperatingPoints.model_validate({"default": {"select": {"score_threshold": 0.01}}})
    cells = select(found, points)
    return {cells.type_names[kind] for kind in cells.cell_type}


# ---- models of the same types --------------------------------------------------------------------


def test_models_of_the_same_types_are_fused() -> None:
    models = [Fixed([(0, 8, 0.6)], AB, (0.9, 0.1)), Fixed([(0, 8, 0.8), (20, 8, 0.6)], AB, (0, 1))]
    both = Ensemble([member(models[0]), member(models[1], 2)])
    assert isinstance(both, Predictor)
    assert not both.is_by_type
    found = both.candidates(IMAGE)
    assert found.boxes[:, 0].tolist() == [0, 20]
    assert found.score.tolist() == pytest.approx([(0.6 + 2 * 0.8) / 3, 0.4])
    np.testing.assert_allclose(np.asarray(found.type_probability)[0], [0.3, 0.7], atol=1e-6)


def test_orders_of_types_are_mapped_by_name() -> None:
    turned = Fixed([(0, 8, 0.8)], ("b", "a"), (0.2, 0.8))
    found = Ensemble([member(Fixed([(0, 8, 0.8)], AB, (0.4, 0.6))), member(turned)])
    assert found.type_names == AB
    shares = found.candidates(IMAGE).type_probability
    np.testing.assert_allclose(np.asarray(shares), [[0.6, 0.4]], atol=1e-6)


def test_a_model_of_cells_without_types_abstains() -> None:
    both = Ensemble([member(Fixed([(0, 8, 0.8)], CELL)), member(Fixed([(0, 8, 0.6)], AB, (0, 1)))])
    assert not both.is_by_type
    assert both.type_names == AB
    found = both.candidates(IMAGE)
    assert found.score.tolist() == pytest.approx([0.7])
    assert kinds(found) == {"b"}
    untyped = Ensemble([member(Fixed([(0, 8, 0.8)], CELL))] * 2)
    assert untyped.candidates(IMAGE).type_names == CELL


# ---- one model a type ----------------------------------------------------------------------------


def test_the_type_with_the_largest_vote_wins() -> None:
    few, more = Fixed([(0, 8, 0.9)], A), Fixed([(0, 8, 0.8), (20, 8, 0.8)], B)
    both = Ensemble([member(few), member(more)])
    assert both.is_by_type
    found = both.candidates(IMAGE)
    # Not halved: the model of the other type has no vote on a type it does not know.
    assert found.score.tolist() == pytest.approx([0.8, 0.8])
    assert found.type_names == AB
    assert kinds(found) == {"b"}
    assert kinds(Ensemble([member(more), member(few)]).candidates(IMAGE)) == {"b"}


def test_area_counts_as_well_as_number() -> None:
    small = Fixed([(0, 4, 0.9), (10, 4, 0.9), (20, 4, 0.9)], A)
    assert kinds(Ensemble([member(small), member(Fixed([(0, 9, 0.8)], B))]).candidates(IMAGE)) == {
        "b"
    }


def test_candidates_below_the_threshold_do_not_vote() -> None:
    """A score is relative to its model's threshold, and what a model detects twice counts once."""
    unsure = Fixed([(0, 12, 0.5), (20, 12, 0.5)], A)
    twice = Fixed([(0, 8, 0.5)] * 9, A)
    sure = Fixed([(0, 8, 0.6)], B)
    assert kinds(Ensemble([member(unsure), member(sure)]).candidates(IMAGE)) == {"a"}
    strict = member(unsure, threshold=0.55)
    assert kinds(Ensemble([strict, member(sure)]).candidates(IMAGE)) == {"b"}
    assert kinds(Ensemble([member(twice), member(sure)]).candidates(IMAGE)) == {"b"}


def test_a_weight_counts_in_the_vote_but_not_in_the_score() -> None:
    models = [Fixed([(0, 8, 0.5)], A), Fixed([(0, 8, 0.8)], B)]
    found = Ensemble([member(models[0], 2), member(models[1])]).candidates(IMAGE)
    assert found.score.tolist() == pytest.approx([0.5])
    assert kinds(found) == {"a"}


def test_several_models_of_a_type_are_fused_and_vote_as_one() -> None:
    loud = [Fixed([(0, 8, 0.5)], A), Fixed([(0, 8, 0.5), (20, 8, 0.5)], A)]
    quiet = Fixed([(0, 8, 0.6)], B)
    found = Ensemble([*map(member, loud), member(quiet)]).candidates(IMAGE)
    # A cell that one of the two detects has a score of 0.25, below the threshold of 0.3: no vote
    # for it.
    assert kinds(found) == {"b"}
    assert found.score.tolist() == pytest.approx([0.6])


def test_only_a_model_of_all_types_votes() -> None:
    knowing = Fixed([(0, 8, 0.3)], ("b", "a"), (0.8, 0.2))
    loud = Fixed([(0, 8, 0.9), (12, 9, 0.9)], A)
    right = Fixed([(0, 8, 0.5), (30, 8, 0.6)], B)
    ensemble = Ensemble([member(loud), member(right), member(knowing)])
    found = ensemble.candidates(IMAGE)
    assert found.type_names == ("b", "a")
    assert found.score.tolist() == pytest.approx([0.3, 0.4])
    assert kinds(found) == {"b"}
    assert loud.asked == 0  # not of the voted type, so it need not be predicted


def test_a_known_type_asks_only_the_models_of_it() -> None:
    models = {name: Fixed([(0, 8, 0.8)], (name,)) for name in "abc"}
    untyped = Fixed([(0, 8, 0.4)], CELL)
    members = [member(each) for each in (*models.values(), untyped)]
    found = Ensemble(members, cell_type="b").candidates(IMAGE)
    assert {name: each.asked for name, each in models.items()} == {"a": 0, "b": 1, "c": 0}
    assert found.score.tolist() == pytest.approx([0.6])
    assert (found.type_names, kinds(found)) == (("a", "b", "c"), {"b"})


def test_each_cell_of_its_own_type() -> None:
    first, second = Fixed([(0, 8, 0.9), (12, 8, 0.4)], A), Fixed([(12, 8, 0.6), (24, 8, 0.7)], B)
    found = Ensemble([member(first), member(second)], type_vote="cell").candidates(IMAGE)
    points = OperatingPoints.model_validate({"type_vote": "cell"})
    cells = select(found, points)
    shown = {int(box[0]): cells.type_names[kind]
             for box, kind in zip(cells.boxes(), cells.cell_type, strict=True)}  # fmt: skip
    assert shown == {0: "a", 12: "b", 24: "b"}
    knowing = Fixed([(0, 8, 0.5)], AB, (0, 1))
    three = Ensemble([member(knowing), member(first), member(second)], type_vote="cell")
    fused = three.candidates(IMAGE)
    assert fused.score[0] == pytest.approx(0.7)
    np.testing.assert_allclose(np.asarray(fused.type_probability)[0], [0.5, 0.5])


def test_the_relative_size_is_that_of_the_models_whose_points_select() -> None:
    first, second = Fixed([], A, relative=2.0), Fixed([(0, 8, 0.8)], B, relative=1.5)
    assert Ensemble([member(first), member(second)]).candidates(IMAGE).scale_ratio == 1.5
    same = [member(Fixed([(0, 8, 0.8)], AB, relative=size)) for size in (2.0, 1.5)]
    assert Ensemble(same).candidates(IMAGE).scale_ratio == 2.0


def test_no_model_finds_anything() -> None:
    nothing = Ensemble([member(Fixed([], A)), member(Fixed([], B))])
    for ensemble in (nothing, Ensemble([member(Fixed([], AB)), *nothing.members])):
        found = ensemble.candidates(IMAGE)
        assert (len(found), found.type_names, found.size) == (0, AB, SIZE)


# ---- what cannot be joined -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sets", "expected"),
    [
        ([AB, ("b", "a")], AB),
        ([B, A], AB),
        ([A, ("b", "a"), CELL], ("b", "a")),
        ([A, CELL, ()], A),
        ([("b", "a"), (*AB, "")], (*AB, "")),
        ([CELL, ()], CELL),
        ([()], CELL),
    ],
)
def test_joint_types(sets: list[tuple[str, ...]], expected: tuple[str, ...]) -> None:
    assert joint_types(sets) == expected


@pytest.mark.parametrize(
    "sets", [[AB, ("c",)], [AB, ("b", "c")], [AB, A, ("c",)], [("a", "b", "c"), AB]]
)
def test_other_sets_of_types_are_refused(sets: list[tuple[str, ...]]) -> None:
    with refused(InputError, key="cell_types"):
        joint_types(sets)


def test_a_model_may_lack_only_cells_without_a_type() -> None:
    """Models like those of the challenge, beside one for cells of other laboratories."""
    general = Fixed([(5, 10, 0.8)], (*AB, ""), (0.1, 0.1, 0.8))
    special = Fixed([(5, 10, 0.6)], ("b", "a"), (0.5, 0.5))
    for members in ([member(general), member(special)], [member(special), member(general)]):
        both = Ensemble(members)
        assert both.type_names == (*AB, "")
        assert not both.is_by_type
        found = both.candidates(IMAGE)
        shares = dict(zip(found.type_names, np.array(found.type_probability)[0], strict=True))
        assert shares == pytest.approx({"a": 0.3, "b": 0.3, "": 0.4})
        assert found.score == pytest.approx([0.7])
    with refused(InputError, key="cell_types"):
        joint_types([("a", "b", ""), ("a", "c")])


def test_members_that_make_no_ensemble() -> None:
    with refused(InputError, key="models", found=0):
        Ensemble([])
    with refused(InputError, key="weights", found=0.0):
        Ensemble([member(Fixed([]), 0.0)])
    with refused(InputError, "'c'", "a, b", key="cell_type", found="c"):
        Ensemble([member(Fixed([]))], cell_type="c")

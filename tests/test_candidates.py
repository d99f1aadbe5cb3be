"""Soft, scored masks compared with the same operations on dense stacks."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from skimage import transform

from bigkingxxl.candidates import Candidates
from bigkingxxl.errors import FormatError, OutputError
from bigkingxxl.geometry import SYMMETRIES, Symmetry
from tests.refusals import refused
from tests.support import candidate_sets, soft_stack

UInt8 = NDArray[np.uint8]


def assert_same(first: Candidates, second: Candidates) -> None:
    assert (first.size, first.type_names) == (second.size, second.type_names)
    for name in ("boxes", "probability", "offsets", "score", "type_probability"):
        one, other = getattr(first, name), getattr(second, name)
        assert (one is None) == (other is None), name
        assert one is None or (np.array_equal(one, other) and one.dtype == other.dtype), name


def one(crop: UInt8, corner: tuple[int, int], size: tuple[int, int]) -> Candidates:
    """A single candidate."""
    box = [*corner, corner[0] + crop.shape[0], corner[1] + crop.shape[1]]
    return Candidates.from_crops(size, np.array([box]), [crop], np.array([0.5]))


# ---- making ------------------------------------------------------------------------------------


def test_no_candidates() -> None:
    none = Candidates.empty((4, 5), ("a", "b"))
    assert (len(none), none.size, none.type_names) == (0, (4, 5), ("a", "b"))
    assert none.type_probability is not None
    assert none.type_probability.shape == (0, 2)
    assert Candidates.empty((4, 5)).type_probability is None
    assert len(none.transform(Symmetry(1))) == len(none.resize((9, 9))) == 0
    assert len(none.shift(1, 1, (2, 2))) == len(none.take([])) == 0


@pytest.mark.parametrize(
    "change",
    [
        {"offsets": np.array([0, 5])},
        {"probability": np.zeros(7, np.uint8)},
        {"score": np.zeros(2, np.float32)},
        {"boxes": np.array([[0, 0, 2, 2]], np.int32)},
    ],
)
def test_fields_that_do_not_fit_are_refused(change: dict[str, object]) -> None:
    plain: dict[str, object] = {
        "size": (4, 4),
        "boxes": np.array([[0, 0, 2, 3]], np.int32),
        "probability": np.zeros(6, np.uint8),
        "offsets": np.array([0, 6]),
        "score": np.zeros(1, np.float32),
    }
    Candidates(**plain)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="do not fit"):
        Candidates(**(plain | change))  # type: ignore[arg-type]


@given(hnp.arrays(np.int32, (6, 7), elements=st.sampled_from([0, 0, 1, 2, 4])), st.integers(0, 99))
def test_a_label_map_gives_soft_masks_inside_its_labels(
    label_map: NDArray[np.int32], seed: int
) -> None:
    probability: NDArray[np.float32] = np.random.default_rng(seed).random((6, 7), np.float32)
    score = np.linspace(0.1, 0.5, 5, dtype=np.float32)
    types: NDArray[np.float32] = np.eye(5, dtype=np.float32)[:, :3]
    found = Candidates.from_label_map(label_map, probability, score, types, ("a", "b", "c"))
    labels = [label for label in range(1, 6) if (label_map == label).any()]
    assert found.score.tolist() == score[np.array(labels, int) - 1].tolist()
    assert found.type_probability is not None
    assert np.array_equal(found.type_probability, types[np.array(labels, int) - 1])
    for label, mask, box in zip(labels, soft_stack(found), found.boxes, strict=True):
        inside = label_map == label
        assert np.array_equal(mask > 0, inside), "a pixel of the label is never 0"
        assert np.abs(mask[inside] / 255 - probability[inside]).max() <= 1 / 255
        rows, cols = np.nonzero(inside)
        assert box.tolist() == [rows.min(), cols.min(), rows.max() + 1, cols.max() + 1]


@given(candidate_sets(max_count=3))
def test_sets_of_one_image_are_joined(part: Candidates) -> None:
    both = Candidates.concatenate([part, part.take([]), part])
    assert np.array_equal(soft_stack(both), np.concatenate([soft_stack(part)] * 2))
    assert both.score.tolist() == part.score.tolist() * 2
    assert both.type_names == part.type_names
    if part.type_probability is not None and both.type_probability is not None:
        assert np.array_equal(both.type_probability, np.tile(part.type_probability, (2, 1)))
    assert_same(both.take(np.arange(len(part))), part)


def test_without_types_in_one_part_there_are_none() -> None:
    typed = Candidates.from_crops((3, 3), np.array([[0, 0, 1, 1]]), [np.ones((1, 1), np.uint8)],
                                  np.ones(1), np.ones((1, 2)), ("a", "b"))  # fmt: skip
    plain = one(np.ones((1, 1), np.uint8), (1, 1), (3, 3))
    for parts in ([typed, plain], [plain, typed]):
        both = Candidates.concatenate(parts)
        assert (len(both), both.type_probability, both.type_names) == (2, None, ("a", "b"))


def test_other_images_and_other_types_are_not_joined() -> None:
    for other in (Candidates.empty((3, 4), ("a",)), Candidates.empty((3, 3), ("b",))):
        with pytest.raises(ValueError, match="only candidates"):
            Candidates.concatenate([Candidates.empty((3, 3), ("a",)), other])


# ---- reading, choosing and moving --------------------------------------------------------------


@given(candidate_sets(empty_boxes=True))
def test_pixels_locate_every_stored_value(found: Candidates) -> None:
    owner, row, col = found.pixels()
    stack = soft_stack(found)
    assert np.array_equal(stack[owner, row, col], found.probability)
    rest = stack.copy()
    rest[owner, row, col] = 0
    assert not rest.any()


@given(candidate_sets(max_count=5, empty_boxes=True), st.data())
def test_take_chooses_by_index_and_by_mask(found: Candidates, data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.integers(0, len(found) - 1))) if len(found) else []
    taken = found.take(chosen)
    assert np.array_equal(soft_stack(taken), soft_stack(found)[chosen])
    assert taken.score.tolist() == [found.score[index] for index in chosen]
    if taken.type_probability is not None and found.type_probability is not None:
        assert np.array_equal(taken.type_probability, found.type_probability[chosen])
    mask = np.arange(len(found)) % 2 == 1
    assert_same(found.take(mask), found.take(np.flatnonzero(mask)))


@given(candidate_sets(empty_boxes=True), st.sampled_from(SYMMETRIES))
def test_candidates_are_turned_with_their_image(found: Candidates, symmetry: Symmetry) -> None:
    turned = found.transform(symmetry)
    assert turned.size == symmetry.size(found.size)
    assert np.array_equal(soft_stack(turned), symmetry.apply(soft_stack(found)))
    assert_same(turned.transform(symmetry.inverse), found)


@given(
    candidate_sets(), st.integers(-9, 9), st.integers(-9, 9), st.integers(1, 12), st.integers(1, 12)
)
def test_a_shift_clips_at_the_border_and_drops_the_rest(
    found: Candidates, rows: int, cols: int, height: int, width: int
) -> None:
    moved = found.shift(rows, cols, (height, width))
    assert moved.size == (height, width)
    canvas = np.pad(soft_stack(found), ((0, 0), (30, 30), (30, 30)))
    window = canvas[:, 30 - rows : 30 - rows + height, 30 - cols : 30 - cols + width]
    inside = (
        (np.minimum(found.boxes[:, 2] + rows, height) > np.maximum(found.boxes[:, 0] + rows, 0))
        & (np.minimum(found.boxes[:, 3] + cols, width) > np.maximum(found.boxes[:, 1] + cols, 0))
    )  # fmt: skip
    assert np.array_equal(soft_stack(moved), window[inside])
    assert moved.score.tolist() == found.score[inside].tolist()
    limit = [height, width, height, width]
    assert ((moved.boxes >= 0) & (moved.boxes <= limit)).all()


# ---- another size ------------------------------------------------------------------------------


def smooth_candidate(size: tuple[int, int]) -> Candidates:
    """One blurred disc, as a network would predict a cell."""
    row, col = np.indices((41, 37))
    distance = np.hypot(row - 20, col - 18)
    soft = 255 / (1 + np.exp((distance - 12) / 1.5))
    return one(np.rint(soft).astype(np.uint8), (6, 9), size)


@pytest.mark.parametrize("new", [(60, 70), (120, 140), (90, 77), (61, 171), (240, 70)])
def test_enlarged_soft_masks_equal_scikit_image(new: tuple[int, int]) -> None:
    found = smooth_candidate((60, 70))
    dense = soft_stack(found)[0] / 255.0
    expected = transform.resize(dense, new, order=1, mode="edge", anti_aliasing=False)
    assert found.resize(new).size == new
    assert np.abs(soft_stack(found.resize(new))[0] / 255 - expected).max() < 0.01


@pytest.mark.parametrize("factor", [2, 3, 5])
def test_shrunk_soft_masks_average_blocks(factor: int) -> None:
    found = smooth_candidate((60, 90))
    dense = soft_stack(found)[0] / 255.0
    expected = transform.downscale_local_mean(dense, (factor, factor))
    small = soft_stack(found.resize((60 // factor, 90 // factor)))[0] / 255
    assert np.abs(small - expected).max() < 0.06
    assert small.sum() == pytest.approx(expected.sum(), rel=0.02)


@given(candidate_sets(), st.tuples(st.integers(1, 20), st.integers(1, 20)))
def test_resizing_keeps_every_candidate(found: Candidates, new: tuple[int, int]) -> None:
    other = found.resize(new)
    assert (len(other), other.size) == (len(found), new)
    assert other.score.tolist() == found.score.tolist()
    low, high = other.boxes[:, :2], other.boxes[:, 2:]
    assert ((low >= 0) & (low < high) & (high <= new)).all()
    factor = np.array([new[0] / found.size[0], new[1] / found.size[1]])
    centres = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2 * factor
    assert (np.abs((low + high) / 2 - centres) <= 1).all()


small_sizes = st.tuples(st.integers(1, 9), st.integers(1, 9))
large_sizes = st.tuples(st.integers(1, 30), st.integers(1, 30))


@given(small_sizes, large_sizes)
def test_a_candidate_that_fills_the_image_still_fills_it(
    size: tuple[int, int], new: tuple[int, int]
) -> None:
    """No fading at the image's border, which is no border of the cell."""
    full = one(np.full(size, 255, np.uint8), (0, 0), size).resize(new)
    assert full.boxes.tolist() == [[0, 0, *new]]
    assert (full.probability == 255).all()


@given(candidate_sets(), st.sampled_from(SYMMETRIES), st.integers(1, 15), st.integers(1, 15))
def test_resizing_and_turning_commute(
    found: Candidates, symmetry: Symmetry, height: int, width: int
) -> None:
    first = soft_stack(found.resize((height, width)).transform(symmetry)).astype(int)
    second = soft_stack(found.transform(symmetry).resize(symmetry.size((height, width))))
    assert np.abs(first - second).max(initial=0) <= 1


# ---- keeping -----------------------------------------------------------------------------------

each_example = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@each_example
@given(found=candidate_sets(empty_boxes=True))
def test_saving_and_loading_are_inverse_and_reproducible(found: Candidates, tmp_path: Path) -> None:
    first, second = tmp_path / "first.npz", tmp_path / "second.npz"
    found.save(first)
    again = Candidates.load(first)
    assert_same(again, found)
    again.save(second)
    assert first.read_bytes() == second.read_bytes()
    assert sorted(tmp_path.iterdir()) == [first, second]


def filled() -> Candidates:
    crops = [np.arange(20, dtype=np.uint8).reshape(4, 5)] * 3
    boxes = np.array([[0, 0, 4, 5], [1, 1, 5, 6], [6, 3, 10, 8]])
    return Candidates.from_crops((12, 12), boxes, crops, np.array([0.1, 0.5, 0.9]))


def test_files_of_earlier_versions_name_the_scale_ratio_otherwise(tmp_path: Path) -> None:
    path, older = tmp_path / "found.npz", tmp_path / "older.npz"
    replace(filled(), scale_ratio=1.75).save(path)
    with np.load(path) as archive:
        arrays = dict(archive)
    header = json.loads(arrays["header"].tobytes())
    header["relative_size"] = header.pop("scale_ratio")
    arrays["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    np.savez(older, **arrays)
    assert Candidates.load(older).scale_ratio == 1.75


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    """Every cut and flipped byte: the same candidates, or a FormatError that names the file."""
    path = tmp_path / "found.npz"
    filled().save(path)
    whole = path.read_bytes()
    damaged = [whole[:length] for length in range(0, len(whole), 7)]
    damaged += [
        whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :]
        for place in range(0, len(whole), 3)
    ]
    refused = []
    for content in damaged:
        path.write_bytes(content)
        try:
            assert_same(Candidates.load(path), filled())
        except FormatError as error:
            refused.append(str(error))
    assert len(refused) > len(damaged) / 2
    assert all(str(path) in sentence for sentence in refused)


def test_other_files_are_no_candidates(tmp_path: Path) -> None:
    text, array, archive = (tmp_path / name for name in ("a.npz", "b.npz", "c.npz"))
    text.write_text("nothing of the kind", encoding="utf-8")
    with array.open("wb") as stream:
        np.save(stream, np.zeros(3))
    np.savez(archive, boxes=np.zeros((0, 4)), header=np.frombuffer(b"[1, 2]", np.uint8))
    for path in (text, array, archive, tmp_path / "missing.npz", tmp_path):
        with refused(FormatError, file=path):
            Candidates.load(path)


def test_a_write_error_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with refused(OutputError, file="found.npz"):
        filled().save(tmp_path / "file" / "found.npz")

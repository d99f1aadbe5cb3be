"""Run-length codes compared with naive implementations and pycocotools."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from bigkingxxl import rle
from bigkingxxl.instances import Instances
from tests.support import Stack, instances_of, naive_kaggle, naive_runs, stack_of, stacks


def decode_kaggle(texts: list[str], size: tuple[int, int]) -> Instances:
    """Instances from Kaggle annotations, by the module's own functions."""
    pairs = [rle.kaggle_pairs(text) for text in texts]
    flat = np.concatenate([np.zeros((0, 2), np.int64), *pairs])
    runs, source = rle.rows_from_flat(flat[:, 0] - 1, flat[:, 1], size[1])
    owner = np.repeat(np.arange(len(pairs)), [len(each) for each in pairs])[source]
    return Instances.from_runs(runs, owner, len(texts), size)


# ---- Kaggle ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "size", "pixels"),
    [
        ("5 3", (2, 10), [5, 6, 7]),
        ("1 1", (2, 10), [1]),
        ("20 1", (2, 10), [20]),
        ("9 4", (2, 10), [9, 10, 11, 12]),
        ("3 9", (4, 3), [3, 4, 5, 6, 7, 8, 9, 10, 11]),
        ("2 2 8 1", (2, 10), [2, 3, 8]),
        ("", (2, 10), []),
    ],
)
def test_a_kaggle_pair_is_those_pixels_and_nothing_else(
    text: str, size: tuple[int, int], pixels: list[int]
) -> None:
    """Lesson 2: the last pixel is not lost on reading, and none is added on writing."""
    instances = decode_kaggle([text], size)
    assert (np.flatnonzero(stack_of(instances)[0]) + 1).tolist() == pixels
    assert instances.areas().tolist() == [len(pixels)]
    assert instances.kaggle_strings() == [text]


@given(stacks())
def test_kaggle_strings_are_what_a_pixel_loop_writes(stack: Stack) -> None:
    assert instances_of(stack).kaggle_strings() == [naive_kaggle(mask) for mask in stack]


@given(stacks())
def test_kaggle_strings_read_back_as_the_same_masks(stack: Stack) -> None:
    size = (stack.shape[1], stack.shape[2])
    again = decode_kaggle([naive_kaggle(mask) for mask in stack], size)
    assert np.array_equal(stack_of(again), stack)


@given(stacks(max_cells=1), st.randoms(use_true_random=False))
def test_the_order_of_pairs_and_cuts_through_them_change_nothing(
    stack: Stack, random: object
) -> None:
    pairs = [pair for mask in stack for pair in naive_runs(mask.ravel())]
    cut = [
        piece
        for first, length in pairs
        for piece in ([(first, 1), (first + 1, length - 1)] if length > 1 else [(first, length)])
    ]
    random.shuffle(cut)  # type: ignore[attr-defined]
    text = " ".join(f"{first + 1} {length}" for first, length in cut)
    again = decode_kaggle([text] * len(stack), (stack.shape[1], stack.shape[2]))
    assert np.array_equal(stack_of(again), stack)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 2 3", "odd count"),
        ("7", "odd count"),
        ("1 x", "'x'"),
        ("1.5 2", "'1.5'"),
        ("nan 2", "'nan'"),
        ("0 3", "0"),
        ("3 0", "0"),
        ("-4 3", "-4"),
        ("3 -1", "-1"),
        ("1 99999999999999999999", "'99999999999999999999'"),
        ("-99999999999999999999 1", "'-99999999999999999999'"),
    ],
)
def test_bad_annotations_are_explained(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rle.kaggle_pairs(text)


@given(st.text(alphabet="0123456789 -+._xe\t\n", max_size=30))
def test_any_text_is_pairs_or_a_value_error(text: str) -> None:
    try:
        pairs = rle.kaggle_pairs(text)
    except ValueError:
        return
    assert pairs.ravel().tolist() == [int(token) for token in text.split()]
    assert (pairs >= 1).all()


# ---- COCO --------------------------------------------------------------------------------------


@given(stacks())
def test_coco_strings_equal_pycocotools(stack: Stack) -> None:
    expected = coco.encode(np.asfortranarray(stack.transpose(1, 2, 0).astype(np.uint8)))
    assert instances_of(stack).coco_strings() == [each["counts"].decode() for each in expected]


def naive_counts(mask: Stack) -> list[int]:
    """Column by column, background first."""
    counts, value = [0], False
    for pixel in mask.T.ravel().tolist():
        if pixel != value:
            counts.append(0)
            value = pixel
        counts[-1] += 1
    return counts


@given(stacks())
def test_column_counts_are_what_a_pixel_loop_counts(stack: Stack) -> None:
    instances = instances_of(stack)
    counts, bounds = rle.column_counts(instances.runs, instances.splits, instances.size)
    split = np.split(counts, bounds[1:-1])[: len(stack)]
    assert [each.tolist() for each in split] == [naive_counts(mask) for mask in stack]


def test_big_masks_equal_pycocotools() -> None:
    """Counts of more than three letters, with both signs once they are differences."""
    mask = np.zeros((1500, 1400), bool)
    mask[3:1400, 700] = True
    mask[:, 900:1100] = True
    mask[77, 1300] = True
    instances = instances_of(mask[None])
    expected = coco.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
    assert instances.coco_strings() == [expected]


# ---- parts -------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(-50, 50), st.integers(0, 6))))
def test_expand_writes_out_ranges(ranges: list[tuple[int, int]]) -> None:
    starts = np.array([start for start, _ in ranges], np.int64)
    lengths = np.array([length for _, length in ranges], np.int64)
    expected = [start + step for start, length in ranges for step in range(length)]
    assert rle.expand(starts, lengths).tolist() == expected


@given(hnp.arrays(np.int32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=8),
                  elements=st.integers(0, 3)))  # fmt: skip
def test_label_runs_paint_the_label_map_again(label_map: np.ndarray) -> None:
    runs, labels = rle.label_runs(label_map)
    painted = np.zeros_like(label_map)
    for (row, start, stop), label in zip(runs, labels, strict=True):
        assert (painted[row, start:stop] == 0).all()
        painted[row, start:stop] = label
    assert np.array_equal(painted, label_map)
    before = [(r, s) for (r, s, _), label in zip(runs.tolist(), labels.tolist(), strict=True)]
    assert before == sorted(before)


@st.composite
def graphs(draw: st.DrawFn) -> tuple[int, list[tuple[int, int]]]:
    """The number of nodes, and the ends of links."""
    count = draw(st.integers(1, 12))
    node = st.integers(0, count - 1)
    return count, draw(st.lists(st.tuples(node, node), max_size=20))


@given(graphs())
def test_connected_components_match_the_links(
    graph: tuple[int, list[tuple[int, int]]],
) -> None:
    count, links = graph
    ends = np.array(links, np.int64).reshape(-1, 2).T
    matrix = sparse.coo_matrix((np.ones(len(links)), (ends[0], ends[1])), (count, count))
    expected = connected_components(matrix, directed=False)[1]
    found = rle.connected(count, ends[0], ends[1])
    first = [expected.tolist().index(part) for part in expected]
    assert found.tolist() == first


def test_a_long_chain_hangs_together() -> None:
    order = np.random.default_rng(0).permutation(100_000)
    assert not rle.connected(100_000, order[1:], order[:-1]).any()

"""Each metric compared with the implementation that defined it, or one written from its paper."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion, distance_transform_edt
from scipy.optimize import linear_sum_assignment

import bigkingxxl as bk
from bigkingxxl.evaluation.metrics.registry import find_metric
from bigkingxxl.evaluation.pairing import ImagePair, pairs_of
from bigkingxxl.evaluation.scoring import score_pairs
from bigkingxxl.instances import Instances
from tests.evaluation.scenes import (
    SIZE,
    Labels,
    cells_of,
    dense_iou,
    dense_overlap,
    truth_and_found,
)

SEEDS = range(6)
THRESHOLDS = (0.1, 0.3, 0.5, 0.6, 0.75, 0.9)
EMPTY = np.zeros(SIZE, np.int32)


def scenes() -> list[tuple[Labels, Labels]]:
    full = [truth_and_found(seed) for seed in SEEDS]
    return [*full, (full[0][0], EMPTY), (EMPTY, full[0][1]), (EMPTY, EMPTY)]


def scored(name: str, scenes: Sequence[tuple[Labels, Labels]]) -> dict[str, float | None]:
    truth = {str(k): cells_of(a) for k, (a, _) in enumerate(scenes)}
    found = {str(k): cells_of(b) for k, (_, b) in enumerate(scenes)}
    scores = score_pairs(pairs_of(truth, found), [find_metric(name)])
    return {key: each.value for key, each in scores.by_key.items()}


def of_one(name: str, truth: Labels, found: Labels) -> float | None:
    values: dict[str, float | None] = bk.score(truth, found, name)
    return values[name]


# ---- StarDist -----------------------------------------------------------------------------------


@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_f1_precision_recall_and_ap_are_those_of_stardist(threshold: float) -> None:
    matching = pytest.importorskip("stardist.matching")
    assert "tensorflow" not in sys.modules
    every = [scene for scene in scenes() if scene[0].any() and scene[1].any()]
    names = {"f1": "f1", "precision": "precision", "recall": "recall", "ap": "accuracy"}
    for truth, found in every:
        theirs = matching.matching(truth, found, threshold)
        for ours, name in names.items():
            value = of_one(f"{ours}@{threshold:g}", truth, found)
            assert value == pytest.approx(getattr(theirs, name), abs=1e-9)
    together = matching.matching_dataset(
        *zip(*every, strict=True), thresh=threshold, show_progress=False
    )
    for ours, name in names.items():
        key = f"{ours}@{threshold:g}"
        assert scored(key, every)[key] == pytest.approx(getattr(together, name), abs=1e-9)


def test_panoptic_quality_is_stardists() -> None:
    matching = pytest.importorskip("stardist.matching")
    for truth, found in scenes()[:6]:
        # Kirillov's matches need an IoU above a half, StarDist's of a half or more.
        theirs = matching.matching(truth, found, 0.5 + 1e-6)
        ours = bk.score(truth, found, "pq")
        assert ours["pq"] == pytest.approx(theirs.panoptic_quality, abs=1e-6)
        assert ours["pq.sq"] == pytest.approx(theirs.mean_matched_score, abs=1e-6)
        assert ours["pq.dq"] == pytest.approx(theirs.f1, abs=1e-6)
        assert ours["pq"] == pytest.approx((ours["pq.sq"] or 0) * (ours["pq.dq"] or 0))


@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_hits_are_a_largest_one_to_one_matching(threshold: float) -> None:
    """Without StarDist: the Hungarian method on dense matrices."""
    for truth, found in scenes():
        good = dense_iou(truth, found) >= threshold
        rows, columns = linear_sum_assignment(-good.astype(float))
        expected = int(good[rows, columns].sum())
        pair = ImagePair.of(cells_of(truth), cells_of(found))
        hits = pair.hits(find_metric(f"f1@{threshold}").threshold)
        assert len(hits.pair) == expected
        assert len(set(hits.truth.tolist())) == len(set(hits.predicted.tolist())) == expected
        share = dense_iou(truth, found)[hits.truth, hits.predicted]
        assert share == pytest.approx(pair.iou[hits.pair])


# ---- Cell Tracking Challenge --------------------------------------------------------------------


def test_seg_and_det_are_those_of_the_cell_tracking_challenge(tmp_path: Path) -> None:
    representations = pytest.importorskip("ctc_metrics.utils.representations")
    seg = pytest.importorskip("ctc_metrics.metrics.technical.seg").seg
    det = pytest.importorskip("ctc_metrics.metrics.technical.det").det
    some = scenes()[:6]
    labels: list[list[list[int]]] = [[], [], [], []]
    ious, splits, missed, false = [], 0, 0, 0
    for truth, found in some:
        for name, each in (("a", truth), ("b", found)):
            tifffile.imwrite(tmp_path / f"{name}.tif", each.astype(np.uint16))
        first, second, mapped, onto, iou = representations.match(
            str(tmp_path / "a.tif"), str(tmp_path / "b.tif")
        )
        ious.append(iou)
        for into, values in zip(labels, (first, second, mapped, onto), strict=True):
            into.append([int(value) for value in values])
        matrix = representations.create_detection_test_matrix(
            len(second), len(first), [first], [second], [mapped], [onto]
        )
        splits += int(np.maximum(matrix.sum(axis=1) - 1, 0).sum())
        missed += int((matrix.sum(axis=0) == 0).sum())
        false += int((matrix.sum(axis=1) == 0).sum())
    expected = seg(labels[0], ious)
    assert scored("seg", some)["seg"] == pytest.approx(expected, abs=1e-9)
    vertices = sum(map(len, labels[0]))
    theirs = det(NS=splits, FN=missed, FP=false, num_vertices=vertices)
    assert splits > 0
    assert scored("det", some)["det"] == pytest.approx(theirs, abs=1e-9)


def test_seg_and_det_from_their_definitions() -> None:
    some = scenes()
    total, count, cost = 0.0, 0, 0
    for truth, found in some:
        shared, first, _ = dense_overlap(truth, found)
        within = 2 * shared > first[:, None]
        total += float(dense_iou(truth, found)[within].sum())
        count += len(first)
        each = within.sum(axis=0)
        cost += 5 * int((each[each > 1] - 1).sum()) + 10 * int((within.sum(axis=1) == 0).sum())
        cost += int((each == 0).sum())
    assert scored("seg", some)["seg"] == pytest.approx(total / count)
    assert scored("det", some)["det"] == pytest.approx(1 - min(cost, 10 * count) / (10 * count))


# ---- aggregated Jaccard -------------------------------------------------------------------------


def aji(truth: Labels, found: Labels, one_to_one: bool) -> float:
    shared, first, second = dense_overlap(truth, found)
    union = first[:, None] + second[None] - shared
    iou = shared / np.maximum(union, 1)
    if one_to_one:
        pairs = list(zip(*linear_sum_assignment(-iou), strict=True))
    else:
        pairs = [(row, iou[row].argmax()) for row in range(len(first)) if len(second)]
    pairs = [(row, column) for row, column in pairs if iou[row, column] > 0]
    rows, columns = {row for row, _ in pairs}, {column for _, column in pairs}
    over = sum(int(union[pair]) for pair in pairs)
    over += sum(int(area) for row, area in enumerate(first) if row not in rows)
    over += sum(int(area) for column, area in enumerate(second) if column not in columns)
    return sum(int(shared[pair]) for pair in pairs) / over


@pytest.mark.parametrize("name", ["aji", "aji+"])
def test_aggregated_jaccard_is_the_one_of_dense_matrices(name: str) -> None:
    expected = []
    for truth, found in scenes()[:-1]:
        expected.append(aji(truth, found, name == "aji+"))
        assert of_one(name, truth, found) == pytest.approx(expected[-1])
    # Nothing annotated and nothing predicted: left out of the mean.
    assert scored(name, scenes())[name] == pytest.approx(np.mean(expected))
    assert of_one(name, EMPTY, EMPTY) is None


# ---- boundaries ---------------------------------------------------------------------------------

CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], bool)


def boundary(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return np.asarray(mask & ~binary_erosion(mask, CROSS))


def test_boundary_distances_are_those_of_distance_transforms() -> None:
    for truth, found in scenes()[:6]:
        pair = ImagePair.of(cells_of(truth), cells_of(found))
        means, highs = [], []
        for a, b in zip(pair.hits().truth, pair.hits().predicted, strict=True):
            one, two = boundary(pair.truth.mask(a)), boundary(pair.predicted.mask(b))
            every = np.concatenate(
                (distance_transform_edt(~two)[one], distance_transform_edt(~one)[two])
            )
            means.append(every.mean())
            highs.append(np.percentile(every, 95))
        ours = bk.score(truth, found, "boundary")
        assert ours["boundary.mean"] == pytest.approx(np.mean(means))
        assert ours["boundary.p95"] == pytest.approx(np.mean(highs))


def test_boundaries_far_apart_and_at_the_border_of_the_image() -> None:
    """Farther than any neighbourhood that is searched pixel by pixel."""
    truth = np.zeros((80, 100), np.int32)
    truth[:, :60] = 1
    found = np.zeros_like(truth)
    found[:, :100] = 1
    every = np.concatenate([
        distance_transform_edt(~boundary(np.pad(found > 0, 1))[1:-1, 1:-1])[
            boundary(np.pad(truth > 0, 1))[1:-1, 1:-1]
        ],
        distance_transform_edt(~boundary(np.pad(truth > 0, 1))[1:-1, 1:-1])[
            boundary(np.pad(found > 0, 1))[1:-1, 1:-1]
        ],
    ])  # fmt: skip
    ours = bk.score(truth, found, "boundary")
    assert ours["boundary.mean"] == pytest.approx(every.mean())
    assert ours["boundary.p95"] == pytest.approx(np.percentile(every, 95))


# ---- counts and confluence ----------------------------------------------------------------------


def test_count_error_is_bland_and_altmans() -> None:
    some = scenes()
    gaps = np.array([len(np.unique(b)) - len(np.unique(a)) for a, b in some], float)
    ours = scored("counts", some)
    deviation = gaps.std(ddof=1)
    expected = (gaps.mean(), gaps.mean() - 1.96 * deviation, gaps.mean() + 1.96 * deviation)
    assert [ours[f"counts.{k}"] for k in ("bias", "low", "high")] == pytest.approx(expected)
    assert ours["counts.absolute"] == pytest.approx(np.abs(gaps).mean())
    cells = sum(len(np.unique(a[a > 0])) for a, _ in some)
    found = sum(len(np.unique(b[b > 0])) for _, b in some)
    assert ours["counts.relative"] == pytest.approx(100 * (found - cells) / cells)


def test_count_error_of_fields_adds_up_their_images() -> None:
    some = scenes()[:6]
    truth = {str(k): cells_of(a) for k, (a, _) in enumerate(some)}
    found = {str(k): cells_of(b) for k, (_, b) in enumerate(some)}
    groups = {"0": "x", "1": "x", "2": "x", "3": "y", "4": "y"}
    scores = score_pairs(pairs_of(truth, found), [find_metric("counts-field")], groups)
    each = np.array([len(found[name]) - len(truth[name]) for name in truth])
    fields = np.array([each[:3].sum(), each[3:5].sum(), each[5]], float)
    value = scores.by_key["counts-field.bias"].value
    assert value == pytest.approx(fields.mean())
    high = scores.by_key["counts-field.high"].value
    assert high == pytest.approx(fields.mean() + 1.96 * fields.std(ddof=1))


def test_confluence_counts_each_pixel_once_and_only_annotated_ones() -> None:
    stack = np.zeros((3, *SIZE), bool)
    stack[0, :10, :10] = stack[1, 5:20, 5:20] = stack[2, 40:50, 40:60] = True
    owner, row, column = np.nonzero(stack)
    truth = Instances.from_pixels(owner, row * SIZE[1] + column, 3, SIZE)
    ignored = np.zeros(SIZE, bool)
    ignored[:, 50:] = True
    expected = 100 * (0 - (stack.any(axis=0) & ~ignored).sum()) / (~ignored).sum()
    pair = ImagePair.of(truth, Instances.empty(SIZE), ignored=ignored)
    scores = score_pairs({"a": pair}, [find_metric("confluence")])
    assert scores.by_key["confluence.bias"].value == pytest.approx(expected)
    plain = bk.score(truth, EMPTY, "confluence")["confluence.bias"]
    assert plain == pytest.approx(-100 * stack.any(axis=0).mean())


# ---- types --------------------------------------------------------------------------------------


def test_panoptic_quality_by_type_is_the_one_among_cells_of_that_type() -> None:
    names = ("round", "long")
    rng = np.random.default_rng(5)
    truth: dict[str, Instances] = {}
    found: dict[str, Instances] = {}
    for k, (a, b) in enumerate(scenes()[:6]):
        for into, labels in ((truth, a), (found, b)):
            count = len(np.unique(labels[labels > 0]))
            into[str(k)] = Instances.from_label_map(
                labels, cell_type=rng.integers(0, 2, count), type_names=names
            )
    metric = find_metric("pq-type", names)
    ours = score_pairs(pairs_of(truth, found), [metric]).by_key
    each = []
    for kind, name in enumerate(names):
        one, two = (
            {k: c.take(c.cell_type == kind) for k, c in of.items()} for of in (truth, found)
        )
        expected = score_pairs(pairs_of(one, two), [find_metric("pq")]).by_key["pq"].value
        assert ours[f"pq-type.{name}"].value == pytest.approx(expected)
        each.append(expected)
    assert ours["pq-type"].value == pytest.approx(sum(each) / 2)  # type: ignore[arg-type]


def test_a_threshold_that_an_iou_just_reaches_is_a_hit() -> None:
    truth, found = np.zeros((1, 10), np.int32), np.zeros((1, 10), np.int32)
    truth[0, :10], found[0, :6] = 1, 1
    assert of_one("f1@0.6", truth, found) == 1.0
    assert of_one("f1@0.61", truth, found) == 0.0
    # PQ requires more than a half.
    found[0, 5] = 0
    assert bk.score(truth, found, "pq,f1@0.5") == {
        "pq": 0.0, "pq.sq": None, "pq.dq": 0.0, "f1@0.5": 1.0,
    }  # fmt: skip

"""Properties of every metric, and names, empty images and kinds of error."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

import bigkingxxl as bk
from bigkingxxl.errors import InputError
from bigkingxxl.evaluation.average_precision import coco_table
from bigkingxxl.evaluation.error_kinds import kinds_of
from bigkingxxl.evaluation.metrics import registry
from bigkingxxl.evaluation.metrics.base import Metric
from bigkingxxl.evaluation.metrics.registry import METRICS, find_metric, find_metrics
from bigkingxxl.evaluation.pairing import ImagePair, pairs_of
from bigkingxxl.evaluation.partial_annotation import without_ignored
from bigkingxxl.evaluation.scoring import difference, score_pairs
from bigkingxxl.instances import Instances
from tests.evaluation.scenes import SIZE, Labels, cells_of, truth_and_found
from tests.refusals import refused

TYPES = ("round", "long")
EMPTY = np.zeros(SIZE, np.int32)


def every_metric() -> list[Metric]:
    return find_metrics(["all"], TYPES)


def typed(labels: Labels, seed: int, *, scores: bool = False) -> Instances:
    cells = cells_of(labels)
    rng = np.random.default_rng(seed)
    kinds = rng.integers(0, 2, len(cells)).astype(np.int16)
    score = rng.random(len(cells)).astype(np.float32) if scores else None
    return replace(cells, cell_type=kinds, type_names=TYPES, score=score)


def images(count: int = 5) -> dict[str, ImagePair]:
    truth, found = {}, {}
    for k in range(count):
        a, b = truth_and_found(k)
        truth[str(k)], found[str(k)] = typed(a, k), typed(b, k, scores=True)
    truth["none"], found["none"] = typed(EMPTY, 0), typed(EMPTY, 0, scores=True)
    types = {str(k): TYPES[k % 2] for k in range(count)}
    return pairs_of(truth, found, types)


@pytest.mark.parametrize("metric", every_metric(), ids=lambda metric: metric.key)
def test_an_image_that_is_drawn_twice_counts_twice(metric: Metric) -> None:
    """The assumption of the bootstrap: weights mean copies."""
    pairs = list(images().values())
    counts = np.array([2, 0, 1, 3, 0, 1])
    groups = np.arange(len(pairs))
    terms = [metric.terms(pair) for pair in pairs]
    weighted = metric.pooled(terms, counts[None].astype(float), groups)[0]
    copies = np.repeat(np.arange(len(pairs)), counts)
    # Copies of a field are fields of their own.
    repeated = metric.pooled(
        [terms[k] for k in copies], np.ones((1, len(copies))), np.arange(len(copies))
    )[0]
    assert weighted == pytest.approx(repeated, nan_ok=True)
    assert len(weighted) == len(metric.values)


@pytest.mark.parametrize("metric", every_metric(), ids=lambda metric: metric.key)
def test_perfect_predictions_are_perfect(metric: Metric) -> None:
    truth = {str(k): typed(truth_and_found(k)[0], k) for k in range(3)}
    found = {
        name: replace(cells, score=np.ones(len(cells), np.float32)) for name, cells in truth.items()
    }
    for each in score_pairs(pairs_of(truth, found), [metric]).estimates:
        if each.value is not None:
            assert each.value == pytest.approx(1.0 if each.what.better == 1 else 0.0), each.what


@pytest.mark.parametrize("metric", every_metric(), ids=lambda metric: metric.key)
def test_the_order_of_cells_changes_nothing(metric: Metric) -> None:
    a, b = truth_and_found(3)
    truth, found = typed(a, 1), typed(b, 1)
    found = replace(found, score=np.linspace(0.1, 0.9, len(found)).astype(np.float32))
    rng = np.random.default_rng(0)
    shuffled = truth.take(rng.permutation(len(truth))), found.take(rng.permutation(len(found)))
    one = score_pairs({"a": ImagePair.of(truth, found)}, [metric])
    two = score_pairs({"a": ImagePair.of(*shuffled)}, [metric])
    for key, each in one.by_key.items():
        assert two.by_key[key].value == pytest.approx(each.value), key


@pytest.mark.parametrize("metric", every_metric(), ids=lambda metric: metric.key)
def test_cells_in_unannotated_areas_count_in_no_metric(metric: Metric) -> None:
    a, b = truth_and_found(4)
    a[:, 60:], b[:, 58:] = 0, 0  # a strip between, so that no cell is cut
    ignored = np.zeros(SIZE, bool)
    ignored[:, 60:] = True
    further_a, further_b = a.copy(), b.copy()
    further_a[10:30, 70:90], further_b[40:60, 80:110] = 900, 901
    values = []
    for truth, found in ((a, b), (further_a, further_b)):
        # The types of what is present in both must be the same.
        one = replace(cells_of(truth), type_names=TYPES)
        two = replace(cells_of(found), type_names=TYPES)
        cells, predicted, _ = without_ignored({"a": one}, {"a": two}, lambda _: ignored)
        pairs = pairs_of(cells, predicted, ignored_of=lambda _: ignored)
        values.append({k: e.value for k, e in score_pairs(pairs, [metric]).by_key.items()})
    assert values[0] == pytest.approx(values[1])
    direct = bk.score(further_a, further_b, metric.key, ignored=ignored)
    if metric.name != "pq-type":  # label maps have no types
        assert direct == pytest.approx(values[0])


@pytest.mark.parametrize("metric", every_metric(), ids=lambda metric: metric.key)
def test_neither_annotated_nor_predicted_cells(metric: Metric) -> None:
    for truth, found in ((EMPTY, EMPTY), (EMPTY, truth_and_found(0)[1]), (truth_and_found(0)[0],
                                                                         EMPTY)):  # fmt: skip
        for key, value in bk.score(truth, found, metric.key).items():
            assert value is None or np.isfinite(value), key


def test_values_of_an_empty_image() -> None:
    both = bk.score(EMPTY, EMPTY)
    assert (both["f1@0.5"], both["pq"], both["seg"], both["aji"], both["map"]) == (
        None, None, None, None, 1.0,
    )  # fmt: skip
    assert both["counts.bias"] == both["confluence.bias"] == 0
    missed = bk.score(truth_and_found(0)[0], EMPTY)
    assert (missed["f1@0.5"], missed["precision@0.5"], missed["seg"], missed["det"]) == (
        0.0, None, 0.0, 0.0,
    )  # fmt: skip
    assert missed["errors.missed"] == 100
    invented = bk.score(EMPTY, truth_and_found(0)[1])
    assert (invented["f1@0.5"], invented["recall@0.5"], invented["aji"]) == (0.0, None, 0.0)


def overlapping() -> Instances:
    masks = [np.ones((10, 10), bool)] * 2
    return Instances.from_crops([(0, 0), (5, 5)], masks, SIZE)


@pytest.mark.parametrize("metric", every_metric(), ids=lambda metric: metric.key)
def test_overlapping_predictions_are_refused_where_a_metric_forbids_them(metric: Metric) -> None:
    pair = ImagePair.of(overlapping(), overlapping(), image_id="x")
    if not metric.disjoint:
        score_pairs({"x": pair}, [metric])
        return
    with refused(InputError, "x", key=metric.title, found=(5, 5)):
        score_pairs({"x": pair}, [metric])


def test_overlapping_truths_are_scored_one_to_one() -> None:
    truth = Instances.concatenate([overlapping().take([0]), overlapping().take([0])])
    found = bk.score(truth, overlapping().take([0]), "f1@0.5,map,pq")
    assert found["f1@0.5"] == pytest.approx(2 / 3)  # one of the two is missed
    assert found["map"] == 1.0  # the challenge counts both


def test_coco_is_its_own_table() -> None:
    pairs = images()
    table = coco_table(
        {name: pair.truth for name, pair in pairs.items()},
        {name: pair.predicted for name, pair in pairs.items()},
    )
    assert table.class_aware
    found = score_pairs(pairs, [find_metric("coco", TYPES)]).by_key
    for key, line in (("ap", (None,)), ("ap50", (50,)), ("ap75", (75,))):
        assert found[f"coco.{key}"].value == pytest.approx(table.value("AP", *line))
    assert found["coco.ar"].value == pytest.approx(table.value("AR", max_detections=1000))


def test_a_score_that_is_no_number_is_refused() -> None:
    cells = replace(overlapping(), score=np.array([0.5, np.nan], np.float32))
    with refused(InputError, key="score"):
        ImagePair.of(overlapping(), cells)


# ---- intervals and differences ------------------------------------------------------------------


def test_intervals_hold_the_value_and_grow_with_groups() -> None:
    pairs = images(12)
    metrics = find_metrics(["f1", "pq", "counts", "coco"], TYPES)
    alone = score_pairs(pairs, metrics).by_key
    for key in ("f1@0.5", "pq", "counts.bias", "coco.ap"):
        low, high = alone[key].interval or (1, 0)
        assert low < (alone[key].value or 0) < high
    one = score_pairs(pairs, metrics, dict.fromkeys(pairs, "well"))
    assert one.groups == 1
    assert all(each.interval is None for each in one.estimates)


def test_a_method_does_not_differ_from_itself() -> None:
    scores = score_pairs(images(6), find_metrics(["all"], TYPES))
    for each in difference(scores, scores):
        assert each.value in (0, None)
        assert each.interval in ((0, 0), None)
        assert not each.is_clear


@pytest.mark.parametrize(("groups", "clear"), [(3, False), (5, False), (6, True)])
def test_a_difference_of_few_groups_is_not_clear(groups: int, clear: bool) -> None:
    """That three images are all better is chance in one of four cases."""
    labels = truth_and_found(0)[0]
    cells = cells_of(labels)
    truth = {str(k): cells for k in range(groups)}
    fewer = {name: cells.take(np.arange(len(cells) - 1)) for name in truth}
    scores = [score_pairs(pairs_of(truth, found), [find_metric("f1")]) for found in (truth, fewer)]
    (gap,) = difference(*scores)
    assert gap.interval is not None
    assert gap.interval[0] > 0
    assert gap.is_clear == clear


def test_a_small_but_steady_gain_is_clear_though_scores_vary_more() -> None:
    """Paired: what is hard for both cancels."""
    truth, worse, better = {}, {}, {}
    rng = np.random.default_rng(0)
    for k in range(12):
        labels = truth_and_found(k)[0]
        cells = cells_of(labels)
        missed = rng.integers(2, len(cells) - 2)
        truth[str(k)], worse[str(k)] = cells, cells.take(np.arange(missed))
        better[str(k)] = cells.take(np.arange(missed + 1))
    scores = [score_pairs(pairs_of(truth, found), [find_metric("f1")]) for found in (better, worse)]
    (gap,) = difference(*scores)
    assert gap.is_clear
    assert gap.value is not None
    interval = scores[0].by_key["f1@0.5"].interval or (0, 0)
    assert interval[1] - interval[0] > 3 * gap.value


def test_by_type_is_the_score_of_the_images_of_that_type() -> None:
    pairs = images(6)
    metric = find_metric("f1")
    every = score_pairs(pairs, [metric]).by_key["f1@0.5"].by_type
    for kind in TYPES:
        some = {name: pair for name, pair in pairs.items() if pair.cell_type == kind}
        assert every[kind] == pytest.approx(score_pairs(some, [metric]).by_key["f1@0.5"].value)


# ---- kinds of error -----------------------------------------------------------------------------


def test_kinds_of_error_by_hand() -> None:
    truth, found = np.zeros((60, 60), np.int32), np.zeros((60, 60), np.int32)
    truth[0:10, 0:10] = found[0:10, 0:10] = 1  # found
    truth[0:10, 20:30], truth[0:10, 30:40], found[0:10, 19:41] = 2, 3, 2  # two merged
    truth[20:30, 0:12], found[20:30, 0:4], found[20:30, 4:8], found[20:30, 8:12] = 4, 3, 4, 5
    truth[20:30, 20:30] = 5  # missed
    truth[20:30, 40:50], found[24:34, 44:54] = 6, 6  # inexact: 36 / 164
    found[50:55, 50:55] = 7  # spurious
    kinds = kinds_of(ImagePair.of_labels(truth, found))
    assert kinds.truth.tolist() == ["found", "merged", "merged", "split", "missed", "inexact"]
    assert kinds.predicted.tolist() == [
        "found", "merged", "split", "split", "split", "inexact", "spurious",
    ]  # fmt: skip
    rates = bk.score(truth, found, "errors")
    counts = {"missed": 1, "merged": 2, "split": 1, "inexact": 1, "spurious": 1}
    assert rates == pytest.approx({f"errors.{k}": 100 * n / 6 for k, n in counts.items()})


def test_recall_by_size_and_by_density() -> None:
    truth, found = np.zeros((200, 200), np.int32), np.zeros((200, 200), np.int32)
    for k in range(4):  # 16 pixels each, all within reach of each other
        truth[4 * k : 4 * k + 4, 0:4] = k + 1
    truth[100:110, 100:110] = 9  # alone
    found[0:8, 0:4] = truth[0:8, 0:4]
    found[100:110, 100:110] = 9
    values = {k: v for k, v in bk.score(truth, found, "recall-size").items() if v is not None}
    assert values == {"recall-size@0.5.0": 0.5, "recall-size@0.5.64": 1.0}
    # Mean diameter 5.9: within 11.7 pixels the ends of the row of four have 2, the others 3.
    crowd = {k: v for k, v in bk.score(truth, found, "recall-density").items() if v is not None}
    assert crowd == {
        "recall-density@0.5.0": 1.0, "recall-density@0.5.1": 0.5, "recall-density@0.5.3": 0.5,
    }  # fmt: skip


# ---- names and bad input ------------------------------------------------------------------------


def test_names_of_metrics() -> None:
    assert [each.key for each in find_metrics(["F1@.75, pq", "seg", "pq"])] == [
        "f1@0.75", "pq", "seg",
    ]  # fmt: skip
    assert find_metric("f1@3/4").threshold == Fraction(3, 4)
    every = {each.name for each in find_metrics(["all"])}
    assert every == set(METRICS)
    for each in every_metric():
        texts = (each.title, each.formula, each.accepts, each.pooling, each.empty, each.source)
        assert all(texts)
    keys = [value.key for each in every_metric() for value in each.values]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize(
    ("text", "word"),
    [("f2", "f1"), ("pq@0.5", "pq"), ("f1@0", "0"), ("f1@1.1", "1.1"), ("f1@x", "x"),
     ("f1@nan", "nan"), ("", ""), ("panoptic", "panoptic")],
)  # fmt: skip
def test_an_unknown_metric_is_refused(text: str, word: str) -> None:
    with refused(InputError, word, key="metric"):
        find_metrics([text])


def test_an_unknown_metric_lists_those_of_other_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "plugin_classes", lambda *_: {"area": Metric})
    with refused(InputError, "area", key="metric", found="no", expected="area"):
        find_metric("no")


@pytest.mark.parametrize(
    ("truth", "found"),
    [
        (EMPTY, np.zeros((4, 4), np.int32)),
        (EMPTY.astype(float), EMPTY),
        (EMPTY, EMPTY - 1),
        (EMPTY, np.zeros((3, *SIZE), np.int32)),
        (cells_of(EMPTY), np.zeros((4, 4), np.int32)),
        (cells_of(EMPTY), EMPTY.astype(float)),
    ],
)
def test_incomparable_inputs_are_refused(truth: object, found: object) -> None:
    with pytest.raises(InputError):
        bk.score(truth, found, "f1")


def test_an_ignore_mask_of_another_size_or_type_is_refused() -> None:
    labels = truth_and_found(0)[0]
    with refused(InputError, key="ignored", found=(3, 3), expected=SIZE):
        bk.score(labels, labels, "f1", ignored=np.zeros((3, 3), bool))
    with refused(InputError, key="ignored", expected="bool"):
        bk.score(labels, labels, "f1", ignored=np.zeros(SIZE))


def test_labels_and_cells_give_the_same() -> None:
    a, b = truth_and_found(2)
    gaps = np.where(b > 0, b.astype(np.int64) * 100_000 + 7, 0)  # no table of all pairs
    from_cells = bk.score(cells_of(a), cells_of(b))
    assert bk.score(a, b) == pytest.approx(from_cells)
    assert bk.score(a, gaps) == pytest.approx(from_cells)
    assert bk.score(a.astype(np.uint16), b.astype(np.uint8)) == pytest.approx(from_cells)


@pytest.mark.parametrize(("number", "text"), [(-0.0001, "0.000"), (-0.0006, "-0.001")])
def test_rounded_zeros_have_no_sign(number: float, text: str) -> None:
    assert find_metric("pq").values[0].text(number) == text

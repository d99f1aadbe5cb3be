from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from bigkingxxl.candidates import Candidates
from bigkingxxl.errors import InputError
from bigkingxxl.evaluation.average_precision import coco_table
from bigkingxxl.evaluation.ranking import AREAS
from bigkingxxl.instances import Instances
from tests.refusals import refused
from tests.support import instances_of

TYPES = ("astro", "cort", "shsy5y")
SIZE = (150, 260)


def boxes_as_cells(boxes: NDArray[Any], size: tuple[int, int] = SIZE, **fields: Any) -> Instances:
    """Cells that fill their boxes (row0, col0, row1, col1), including overlaps."""
    masks = [np.ones((row1 - row0, col1 - col0), bool) for row0, col0, row1, col1 in boxes]
    return Instances.from_crops([(box[0], box[1]) for box in boxes.tolist()], masks, size, **fields)


def scene(seed: int, cells: int, sides: tuple[int, int]) -> tuple[Instances, Instances]:
    """Annotated cells of three types and a model's cells, with overlaps and tied scores."""
    rng = np.random.default_rng(seed)
    side = rng.integers(*sides, (cells, 2))
    corner = rng.integers(0, np.array(SIZE) - side + 1)
    boxes = np.concatenate((corner, corner + side), axis=1)
    kinds = rng.integers(0, 3, cells)
    truth = boxes_as_cells(boxes, cell_type=kinds, type_names=TYPES)
    repeats = np.flatnonzero(rng.random(3 * cells) < 0.5) % max(cells, 1)
    moved = np.clip(boxes[repeats] + rng.integers(-2, 3, (len(repeats), 4)), 0, [*SIZE, *SIZE])
    moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2])
    wrong = rng.random(len(repeats)) < 0.2
    found = boxes_as_cells(
        moved,
        cell_type=np.where(wrong, rng.integers(0, 3, len(repeats)), kinds[repeats]),
        type_names=TYPES,
        score=rng.random(len(repeats)).round(2).astype(np.float32),
    )
    return truth, found.take(found.areas() > 0)


SCENES = {
    "many small": scene(0, 230, (3, 9)),
    "all areas": scene(1, 40, (10, 130)),
    "none": scene(2, 0, (3, 9)),
    "a few": scene(3, 12, (5, 60)),
}
TRUTH = {name: truth for name, (truth, _) in SCENES.items()}
FOUND = {name: found for name, (_, found) in SCENES.items()}


def coco_set(cells: Sequence[Instances], typed: bool) -> COCO:
    """COCO's own data set from its own encoder: dense masks in, areas and boxes measured there."""
    annotations: list[dict[str, Any]] = []
    for image, one in enumerate(cells, start=1):
        for cell in range(len(one)):
            code = coco_mask.encode(np.asfortranarray(one.mask(cell).astype(np.uint8)))
            annotations.append({
                "id": len(annotations) + 1, "image_id": image, "segmentation": code,
                "category_id": int(one.cell_type[cell]) + 1 if typed else 1,
                "area": float(coco_mask.area(code)), "bbox": coco_mask.toBbox(code).tolist(),
                "iscrowd": 0, "score": 1.0 if one.score is None else float(one.score[cell]),
            })  # fmt: skip
    result = COCO()
    result.dataset = {
        "images": [{"id": k + 1, "height": SIZE[0], "width": SIZE[1]} for k in range(len(cells))],
        "categories": [{"id": k + 1, "name": TYPES[k]} for k in range(3 if typed else 1)],
        "annotations": annotations,
    }
    result.createIndex()
    return result


def reference(
    truth: Mapping[str, Instances], found: Mapping[str, Instances], typed: bool
) -> COCOeval:
    """The matches of pycocotools, to be summarised by `at_most`."""
    blank = Instances.empty(SIZE)
    evaluation = COCOeval(
        coco_set(list(truth.values()), typed),
        coco_set([found.get(name, blank) for name in truth], typed),
        "segm",
    )
    evaluation.params.maxDets = [100, 300, 1000, 2000]
    evaluation.evaluate()
    return evaluation


def at_most(evaluation: COCOeval, most: int) -> tuple[list[float], NDArray[np.float64]]:
    """COCO's summary and precision [T, R, K] with a given number of detections per image."""
    others = [limit for limit in (100, 300, 1000) if limit != most]
    evaluation.params.maxDets = [*others[:2], most]
    evaluation.accumulate()
    evaluation.summarize()
    return evaluation.stats.tolist(), evaluation.eval["precision"][..., 0, 2]


@pytest.fixture(scope="module", params=[True, False], ids=["by type", "any type"])
def evaluated(request: pytest.FixtureRequest) -> tuple[bool, COCOeval]:
    return request.param, reference(TRUTH, FOUND, request.param)


@pytest.mark.parametrize("most", [100, 300, 1000, 2000])
def test_every_line_is_the_one_of_pycocotools(most: int, evaluated: tuple[bool, COCOeval]) -> None:
    typed, evaluation = evaluated
    table = coco_table(
        TRUTH,
        FOUND
        if typed
        else {name: replace(f, type_names=("x", "y", "z")) for name, f in FOUND.items()},
    )
    assert table.class_aware == typed
    stats, precision = at_most(evaluation, most)
    # Its first line is always at 100 detections.
    expected: dict[tuple[str, int | None, str], float] = {
        ("AP", None, "all"): precision[precision > -1].mean()
    }
    lines: list[tuple[str, int | None, str]] = [
        ("AP", 50, "all"),
        ("AP", 75, "all"),
        *(("AP", None, area) for area in AREAS[1:]),
    ]
    expected |= dict(zip(lines, stats[1:6], strict=True))
    if most != 2000:
        recall_lines: list[tuple[str, int | None, str]] = [("AR", None, area) for area in AREAS]
        expected |= dict(zip(recall_lines, stats[8:12], strict=True))
    else:
        expected = dict(list(expected.items())[:3])
    found = {row[:3]: row.value for row in table.rows if row.max_detections == most}
    assert found == pytest.approx(expected, abs=1e-6)
    assert 0 < min(value for value in found.values() if value is not None) < 1


def test_ap_by_type_is_the_one_of_each_category(evaluated: tuple[bool, COCOeval]) -> None:
    typed, evaluation = evaluated
    precision = at_most(evaluation, 2000)[1]
    names = TYPES if typed else ("cell",)
    expected = {name: precision[:, :, k].mean() for k, name in enumerate(names)}
    found = {k: f if typed else replace(f, type_names=("x", "y", "z")) for k, f in FOUND.items()}
    assert coco_table(TRUTH, found).by_type == pytest.approx(expected, abs=1e-6)


def test_images_left_out_have_no_detections_and_unknown_ones_are_ignored() -> None:
    truth = {name: TRUTH[name] for name in ("all areas", "a few")}
    some = {"a few": FOUND["a few"]}
    table = coco_table(truth, {**some, "elsewhere": FOUND["many small"]})
    stats, _ = at_most(reference(truth, some, True), 1000)
    assert table.value("AP", 50, max_detections=1000) == pytest.approx(stats[1], abs=1e-6)
    assert table.images == 2
    assert table.detections == len(some["a few"])


def dense_field(cells: int) -> Instances:
    place = np.arange(cells)
    row, col = place // 50 * 4, place % 50 * 4
    return boxes_as_cells(np.stack((row, col, row + 3, col + 3), axis=1))


def test_more_than_100_detections_count() -> None:
    """Lesson 1: 400 perfect detections, of which COCO's own limit keeps a quarter."""
    truth = dense_field(400)
    found = replace(truth, score=np.linspace(0.9, 0.1, 400).astype(np.float32))
    table = coco_table({"a": truth}, {"a": found})
    assert table.value(max_detections=2000) == table.value(max_detections=1000) == 1.0
    # Recall reaches 0.25: 26 of the 101 recalls at which precision is read.
    assert table.value(max_detections=100) == pytest.approx(26 / 101)
    assert table.value("AR", max_detections=100) == pytest.approx(0.25)
    assert table.value("AR", max_detections=300) == pytest.approx(0.75)


def test_the_right_mask_of_the_wrong_type_is_no_hit() -> None:
    boxes = np.array([[0, 0, 9, 9], [20, 20, 29, 29]])
    truth = boxes_as_cells(boxes, cell_type=np.array([0, 1]), type_names=TYPES)
    wrong = replace(truth, cell_type=truth.cell_type[::-1], score=np.ones(2, np.float32))
    assert coco_table({"a": truth}, {"a": wrong}).value() == 0.0
    assert coco_table({"a": truth}, {"a": replace(wrong, type_names=("x", "y", "z"))}).value() == 1


def test_types_are_compared_by_name() -> None:
    truth = boxes_as_cells(np.array([[0, 0, 9, 9]]), cell_type=np.array([2]), type_names=TYPES)
    found = replace(truth, cell_type=np.array([0], np.int16), type_names=("shsy5y", "cort"))
    table = coco_table({"a": truth}, {"a": found})
    assert table.class_aware
    assert table.value() == 1.0


def test_a_type_that_no_image_shows_has_no_ap() -> None:
    """Lesson 9: it neither scores 1 nor lowers the mean."""
    truth = boxes_as_cells(np.array([[0, 0, 9, 9]]), cell_type=np.array([0]), type_names=TYPES)
    table = coco_table({"a": truth, "b": Instances.empty(SIZE, TYPES)}, {})
    assert table.by_type == {"astro": 0.0, "cort": None, "shsy5y": None}
    assert table.value() == 0.0
    assert table.value(area="large", max_detections=100) is None
    assert coco_table({"b": Instances.empty(SIZE, TYPES)}, {}).value() is None


def test_lines_read_as_cocos_own() -> None:
    table = coco_table({"a": dense_field(9)}, {})
    assert [str(row) for row in table.rows][4:9:4] == [
        "Average Precision  (AP) @[ IoU=0.50:0.95 | area=medium | maxDets= 100 ] = -1.000",
        "Average Recall     (AR) @[ IoU=0.50:0.95 | area=medium | maxDets= 100 ] = -1.000",
    ]
    assert str(table.rows[-1]) == (
        "Average Precision  (AP) @[ IoU=0.75      | area=   all | maxDets=2000 ] = 0.000"
    )
    with pytest.raises(KeyError):
        table.value("AR", max_detections=2000)


def test_masks_of_another_size_and_no_images_are_refused() -> None:
    with refused(InputError, key="a", found=(9, 9)):
        coco_table({"a": dense_field(2)}, {"a": Instances.empty((9, 9))})
    with refused(InputError):
        coco_table({}, {})


def soft_cells() -> Candidates:
    """A mask of three pixels above one half, one without any, and one of four."""
    crops = [
        np.array([[127, 128, 255], [0, 200, 127]], np.uint8),
        np.full((2, 2), 127, np.uint8),
        np.full((1, 4), 255, np.uint8),
    ]
    return Candidates.from_crops(
        (6, 8),
        np.array([[1, 2, 3, 5], [0, 0, 2, 2], [5, 4, 6, 8]]),
        crops,
        np.array([0.2, 0.9, 0.5]),
        np.array([[0.1, 0.7, 0.2], [1, 0, 0], [0.4, 0.3, 0.3]]),
        TYPES,
    )


def test_candidates_are_cut_at_one_half_and_empty_ones_do_not_count() -> None:
    first, last = np.zeros((2, 6, 8), bool)
    first[1, 3] = first[1, 4] = first[2, 3] = True
    last[5, 4:] = True
    truth = instances_of(np.stack((first, last)), cell_type=np.array([1, 0]), type_names=TYPES)
    table = coco_table({"a": truth}, {"a": soft_cells()})
    assert (table.detections, table.class_aware, table.scored) == (2, True, True)
    assert table.value() == 1.0


def test_candidates_without_types_ignore_types() -> None:
    truth = boxes_as_cells(np.array([[5, 4, 6, 8]]), (6, 8), cell_type=[2], type_names=TYPES)
    untyped = replace(soft_cells(), type_probability=None)
    table = coco_table({"a": truth}, {"a": untyped})
    assert not table.class_aware
    assert table.value() == 1.0
    assert table.by_type == {"cell": 1.0}


def test_masks_without_scores_are_reported() -> None:
    cells = dense_field(3)
    table = coco_table({"a": cells}, {"a": cells})
    assert not table.scored
    assert table.value() == 1.0

"""COCO files, read and written, compared with pycocotools."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as api
from pycocotools.coco import COCO

from bigkingxxl.candidates import Candidates
from bigkingxxl.errors import FormatError, InputError
from bigkingxxl.io.annotations.coco import (
    CocoSet,
    masks_of,
    read_coco,
    read_results,
    write_coco_annotations,
    write_results,
)
from bigkingxxl.io.annotations.polygons import fill_polygons
from tests.refusals import refused
from tests.support import Stack, candidate_sets, instances_of, soft_stack, stack_of, stacks

# pycocotools' compiled arrays predate numpy 2's protocol.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
SIZE = (12, 16)
SQUARE = [2.0, 3.0, 8.0, 3.0, 8.0, 9.0, 2.0, 9.0]


def content(*annotations: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """COCO annotations of one image 'a' (id 7) and one 'b' (id 9), categories 4 and 2."""
    return {
        "images": [
            {"id": 7, "file_name": "a.png", "height": SIZE[0], "width": SIZE[1]},
            {"id": 9, "file_name": "some/b.tif", "height": 5, "width": 6},
        ],
        "categories": [{"id": 4, "name": "cort"}, {"id": 2, "name": "shsy5y"}],
        "annotations": [
            {"id": place, "image_id": 7, "category_id": 4, "iscrowd": 0, **annotation}
            for place, annotation in enumerate(annotations)
        ],
        **changes,
    }


def saved(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def opened(path: Path, *annotations: dict[str, Any], **changes: Any) -> CocoSet:
    return read_coco(saved(path / "coco.json", content(*annotations, **changes)))


# ---- polygons ----------------------------------------------------------------------------------


def polygons() -> st.SearchStrategy[list[float]]:
    """Outlines of any shape, partly outside the image, on whole, half and odd coordinates."""
    place = st.one_of(
        st.integers(-10, 26).map(float),
        st.integers(-20, 52).map(lambda half: half / 2),
        st.floats(-10, 26, allow_nan=False),
    )
    return st.integers(3, 8).flatmap(lambda n: st.lists(place, min_size=2 * n, max_size=2 * n))


@given(outlines=st.lists(polygons(), max_size=4))
def test_polygons_are_filled_as_pycocotools_fills_them(outlines: list[list[float]]) -> None:
    points = [np.array(outline).reshape(-1, 2) for outline in outlines]
    runs, owner = fill_polygons(points, SIZE)
    filled = np.zeros((len(outlines), *SIZE), bool)
    for (row, start, stop), place in zip(runs, owner, strict=True):
        filled[place, row, start:stop] = True
    for mask, outline in zip(filled, outlines, strict=True):
        (code,) = api.frPyObjects([outline], *SIZE)
        assert np.array_equal(mask, api.decode(code).astype(bool))


@given(parts=st.lists(polygons(), min_size=1, max_size=3))
def test_the_parts_of_a_cell_are_joined(
    parts: list[list[float]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    coco = opened(tmp_path_factory.mktemp("coco"), {"segmentation": parts})
    expected = api.decode(api.merge(api.frPyObjects(parts, *SIZE))).astype(bool)
    cells = coco.instances("a")
    assert len(cells) == int(expected.any())
    if len(cells):
        assert np.array_equal(cells.mask(0), expected)


# ---- reading annotations -----------------------------------------------------------------------


@given(stack=stacks(max_side=12))
@pytest.mark.parametrize("kind", ["compressed", "uncompressed"])
def test_run_lengths_of_pycocotools_are_read(
    kind: str, stack: Stack, tmp_path_factory: pytest.TempPathFactory
) -> None:
    codes = []
    for mask in stack:
        code = api.encode(np.asfortranarray(mask.astype(np.uint8)))
        counts: Any = code["counts"].decode()
        if kind == "uncompressed":
            counts = _counts(mask)
        codes.append({"segmentation": {"size": list(mask.shape), "counts": counts}})
    images = [{"id": 7, "file_name": "a.png", "height": stack.shape[1], "width": stack.shape[2]}]
    coco = opened(tmp_path_factory.mktemp("coco"), *codes, images=images)
    some = stack.any(axis=(1, 2))
    assert np.array_equal(stack_of(coco.instances("a")), stack[some])


def _counts(mask: np.ndarray) -> list[int]:
    """Uncompressed counts, pixel by pixel down the columns."""
    counts, value = [0], False
    for pixel in mask.ravel(order="F").tolist():
        if pixel != value:
            counts.append(0)
            value = pixel
        counts[-1] += 1
    return counts


def test_category_ids_are_mapped_once_and_none_is_background(tmp_path: Path) -> None:
    coco = opened(
        tmp_path,
        {"segmentation": [SQUARE], "category_id": 4},
        {"segmentation": [SQUARE], "category_id": 2},
    )
    assert (coco.type_names, coco.category_ids) == (("shsy5y", "cort"), (2, 4))
    cells = coco.instances("a")
    assert [cells.type_names[kind] for kind in cells.cell_type] == ["cort", "shsy5y"]


def test_names_sizes_and_ids(tmp_path: Path) -> None:
    coco = opened(tmp_path, {"segmentation": [SQUARE]})
    assert coco.ids == ("a", "b")
    assert coco.file_names == {"a": "a.png", "b": "some/b.tif"}
    assert coco.sizes == {"a": SIZE, "b": (5, 6)}
    assert coco.image_ids == {"a": 7, "b": 9}
    assert coco.instances("a").areas().tolist() == [36]
    assert len(coco.instances("b")) == 0


def test_crowds_are_counted_and_left_out(tmp_path: Path) -> None:
    crowd = {"size": list(SIZE), "counts": [0, 192]}
    coco = opened(
        tmp_path, {"segmentation": [SQUARE]}, {"segmentation": crowd, "iscrowd": 1}, {"iscrowd": 1}
    )
    assert coco.crowds == 2
    assert coco.instances("a").areas().tolist() == [36]


def test_equal_stems_are_distinguished_by_folder(tmp_path: Path) -> None:
    def images(*names: str) -> list[dict[str, Any]]:
        return [
            {"id": place, "file_name": name, "height": 2, "width": 2}
            for place, name in enumerate(names)
        ]

    coco = opened(tmp_path, images=images("x/a.png", "y/a.png", "y\\b.png"))
    assert coco.ids == ("x/a", "y/a", "b")
    coco = opened(tmp_path, images=images("x/a.png", "x/a.tif", "x/b.ome.tif"))
    assert coco.ids == ("x/a.png", "x/a.tif", "b")
    with refused(FormatError, file="coco.json", key="images", found="x/a.png"):
        opened(tmp_path, images=images("x/a.png", "x/a.png"))


def test_whole_numbers_of_any_type_are_numbers(tmp_path: Path) -> None:
    coco = opened(
        tmp_path,
        images=[{"id": 7, "file_name": "a.png", "height": 12.0, "width": "16"}],
        annotations=[{"id": 1, "image_id": "7", "category_id": 2.0, "segmentation": [SQUARE]}],
    )
    assert coco.sizes == {"a": (12, 16)}
    assert coco.instances("a").areas().tolist() == [36]


@pytest.mark.parametrize(
    ("annotation", "named"),
    [
        ({"segmentation": [SQUARE], "image_id": 8}, "8"),
        ({"segmentation": [SQUARE], "image_id": [7]}, "[7]"),
        ({"segmentation": [SQUARE], "category_id": 3}, "[2, 4]"),
        ({"segmentation": [SQUARE], "category_id": "x"}, " x"),
        ({"bbox": [1, 2, 3, 4]}, ""),
        ({"segmentation": [SQUARE[:-1]]}, "7"),
        ({"segmentation": [["x"] * 6]}, ""),
        ({"segmentation": [[float("nan")] * 6]}, ""),
        ({"segmentation": [[1e9] * 6]}, ""),
        ({"segmentation": None}, ""),
        ({"segmentation": {"counts": [192]}}, ""),
        ({"segmentation": {"size": [16, 12], "counts": [192]}}, "[12, 16]"),
        ({"segmentation": {"size": [12, 16], "counts": [191]}}, "191"),
        ({"segmentation": {"size": [12, 16], "counts": [200, -8]}}, ""),
        ({"segmentation": {"size": [12, 16], "counts": [192.0]}}, ""),
        ({"segmentation": {"size": [12, 16], "counts": "~~"}}, ""),
        ({"segmentation": {"size": [12, 16], "counts": "\u00e9"}}, ""),
        ({"segmentation": {"size": [12, 16], "counts": "oo"}}, ""),
        ({"segmentation": {"size": [12, 16], "counts": "o" * 40 + "0"}}, ""),
        ({"segmentation": {"size": [12, 16], "counts": [2**70]}}, ""),
        ({"segmentation": {"size": [12, 16], "counts": 5}}, ""),
        ({"segmentation": {"size": [12, 16], "counts": ""}}, "192"),
        ({"segmentation": {"size": [12, 16], "counts": "5"}}, "5"),
    ],
)
def test_a_bad_annotation(tmp_path: Path, annotation: dict[str, Any], named: str) -> None:
    with refused(FormatError, named, file="coco.json") as error:
        opened(tmp_path, annotation).instances("a")
    assert str(tmp_path / "coco.json") in str(error.value)


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"images": None}, {"key": "images"}),
        ({"annotations": [1]}, {"key": "annotations"}),
        ({"categories": []}, {"key": "categories"}),
        ({"categories": [{"id": 1}]}, {"key": "categories", "found": {"id": 1}}),
        (
            {"categories": [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]},
            {"key": "categories", "found": 1},
        ),
        ({"images": [{"id": 7}]}, {"key": "images", "found": {"id": 7}}),
        ({"images": [{"id": 7, "file_name": "a"}]}, {}),
        ({"images": [{"id": 7, "file_name": "a", "height": 0, "width": 3}]}, {}),
        (
            {"images": [{"id": 7, "file_name": name, "height": 1, "width": 1} for name in "ab"]},
            {"key": "images", "found": 7},
        ),
    ],
)
def test_a_bad_file(tmp_path: Path, changes: dict[str, Any], fields: dict[str, Any]) -> None:
    with refused(FormatError, file="coco.json", **fields):
        opened(tmp_path, **changes)


@pytest.mark.parametrize("raw", [b"", b"{", b"\x89PNG", b"[" * 100_000, b"[]", b"3"])
def test_no_json_of_annotations(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(raw)
    with pytest.raises(FormatError, match=r"x\.json"):
        read_coco(path)
    with refused(InputError, file="y.json"):
        read_coco(tmp_path / "y.json")


# ---- writing annotations -----------------------------------------------------------------------


@given(stack=stacks(), kinds=st.lists(st.integers(0, 2), min_size=4, max_size=4))
def test_annotations_written_are_read_by_us_and_by_pycocotools(
    stack: Stack,
    kinds: list[int],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    path = tmp_path_factory.mktemp("coco") / "annotations.json"
    cells = instances_of(stack, cell_type=np.array(kinds[: len(stack)]), type_names=("c", "a", "b"))
    write_coco_annotations(path, {"x": cells, "y": cells}, {"x": "train/x.png", "y": "y.png"})
    coco = read_coco(path)
    assert (coco.ids, coco.type_names, coco.category_ids) == (
        ("x", "y"),
        ("c", "a", "b"),
        (1, 2, 3),
    )
    some = stack.any(axis=(1, 2))
    for image_id in coco.ids:
        read = coco.instances(image_id)
        assert np.array_equal(stack_of(read), stack[some])
        assert np.array_equal(read.cell_type, cells.cell_type[some])
    theirs = COCO(str(path))
    for annotation, mask in zip(theirs.imgToAnns[2], stack[some], strict=True):
        code = annotation["segmentation"]
        assert np.array_equal(theirs.annToMask(annotation), mask)
        assert annotation["area"] == api.area(code) == mask.sum()
        assert annotation["bbox"] == api.toBbox(code).tolist()


# ---- results -----------------------------------------------------------------------------------


@given(candidates=candidate_sets())
def test_masks_are_cut_at_a_half(candidates: Candidates) -> None:
    masks = masks_of(candidates)
    expected = soft_stack(candidates) / 255 > 0.5
    some = expected.any(axis=(1, 2))
    assert np.array_equal(stack_of(masks), expected[some])
    assert masks.score is not None
    assert np.array_equal(masks.score, candidates.score[some])


@given(candidates=candidate_sets())
def test_results_written_are_results_read(
    candidates: Candidates, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("results") / "results.json"
    write_results(path, {"x": candidates, "none": Candidates.empty((3, 3))})
    read = read_results(path, {"x": candidates.size})
    masks = masks_of(candidates)
    if not len(masks):
        assert read == {}
        return
    assert masks.score is not None
    assert read["x"].score is not None
    assert np.array_equal(stack_of(read["x"]), stack_of(masks))
    assert np.array_equal(read["x"].score, masks.score)
    written = [masks.type_names[kind] for kind in masks.cell_type]
    assert [read["x"].type_names[kind] for kind in read["x"].cell_type] == written


def scored(*names: str) -> Candidates:
    """One certain candidate per name, of types 'cort' and 'shsy5y'."""
    types = np.array([[name == "cort", name == "shsy5y"] for name in names], np.float32)
    boxes = np.array([[1, 2, 4, 6]] * len(names))
    crops = [np.full((3, 4), 255, np.uint8)] * len(names)
    score = np.linspace(0.9, 0.1, len(names))
    return Candidates.from_crops(SIZE, boxes, crops, score, types, ("cort", "shsy5y"))


def test_pycocotools_loads_the_results(tmp_path: Path) -> None:
    coco = opened(tmp_path, {"segmentation": [SQUARE]})
    path = tmp_path / "results.json"
    write_results(path, {"a": scored("cort", "shsy5y")}, coco=coco)
    results = json.loads(path.read_text())
    assert [(each["image_id"], each["category_id"]) for each in results] == [(7, 4), (7, 2)]
    assert [each["bbox"] for each in results] == [[2, 1, 4, 3]] * 2
    theirs = COCO(str(tmp_path / "coco.json")).loadRes(str(path))
    assert [annotation["area"] for annotation in theirs.imgToAnns[7]] == [12, 12]
    read = read_results(path, coco)["a"]
    assert [read.type_names[kind] for kind in read.cell_type] == ["cort", "shsy5y"]


def test_a_category_is_known_by_its_name_before_its_number(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    write_results(path, {"a": scored("cort", "shsy5y")})
    # Written with cort 1 and shsy5y 2, read into types in another order.
    read = read_results(path, {"a": SIZE}, ("astro", "shsy5y", "cort"))["a"]
    assert read.cell_type.tolist() == [2, 1]


def test_types_besides_the_expected_ones_follow_them(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    write_results(path, {"a": scored("cort", "shsy5y")})
    read = read_results(path, {"a": SIZE}, ("astro", "shsy5y"))["a"]
    assert read.type_names == ("astro", "shsy5y", "cort")
    assert read.cell_type.tolist() == [2, 1]
    # None is expected: a model of other types is compared whatever the type.
    read = read_results(path, {"a": SIZE}, ("cell",))["a"]
    assert read.type_names == ("cort", "shsy5y")
    assert read.cell_type.tolist() == [0, 1]


def test_a_model_without_types_writes_none(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    silent = replace(scored("cort", "shsy5y"), type_probability=None)
    coco = opened(tmp_path)
    for known, options in ((coco, {"coco": coco}), ({"a": SIZE}, {})):
        write_results(path, {"a": silent}, **options)
        assert read_results(path, known, ("astro", "cort"))["a"].type_names == ("cell",)


def test_categories_without_names_count_from_1(tmp_path: Path) -> None:
    code = {"size": list(SIZE), "counts": [5, 3, 184]}
    results = [{"image_id": "a", "category_id": 2, "segmentation": code, "score": 1}]
    path = saved(tmp_path / "results.json", results)
    assert read_results(path, {"a": SIZE})["a"].type_names == ("type 1", "type 2")
    read = read_results(path, {"a": SIZE}, ("astro", "cort"))["a"]
    assert [read.type_names[kind] for kind in read.cell_type] == ["cort"]
    # Down the columns: pixels 5, 6, 7 of the first.
    assert np.argwhere(read.mask(0)).tolist() == [[5, 0], [6, 0], [7, 0]]


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        ({"image_id": 8}, {"key": "image_id", "found": 8}),
        ({"image_id": None}, {"key": "image_id", "found": None}),
        ({"category_id": 3}, {"key": "category_id", "found": 3}),
        ({"category_id": 0}, {"key": "category_id", "found": 0}),
        ({"score": None}, {"key": "score", "found": None}),
        ({"score": float("nan")}, {"key": "score", "found": "nan"}),
        ({"segmentation": None}, {"key": "result 1"}),
        ({"segmentation": {"size": [12, 16], "counts": "5"}}, {"key": "result 1"}),
    ],
)
def test_a_bad_result(tmp_path: Path, change: dict[str, Any], fields: dict[str, Any]) -> None:
    coco = opened(tmp_path)
    good = {
        "image_id": 7,
        "category_id": 4,
        "segmentation": {"size": list(SIZE), "counts": [5, 3, 184]},
        "score": 0.5,
    }
    path = saved(tmp_path / "results.json", [good, {**good, **change}])
    with refused(FormatError, **fields, file=path):
        read_results(path, coco)


def test_annotations_are_no_results(tmp_path: Path) -> None:
    path = saved(tmp_path / "coco.json", content())
    with refused(FormatError, file=path):
        read_results(path, {})


def test_cells_without_scores_are_no_results(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="have no scores"):
        write_results(tmp_path / "x.json", {"a": instances_of(np.ones((1, 2, 2), bool))})
    assert list(tmp_path.iterdir()) == []

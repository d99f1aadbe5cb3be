"""GeoJSON as QuPath understands it: outlines, classes, measurements; back to the same pixels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from matplotlib.path import Path as Curve

from bigkingxxl.errors import FormatError, InputError
from bigkingxxl.images import ArrayImage
from bigkingxxl.instances import Instances
from bigkingxxl.io.annotations.qupath import read_geojson, write_geojson
from bigkingxxl.io.tables.measurements import measure
from tests.refusals import refused
from tests.support import Stack, instances_of, stack_of, stacks

SIZE = (12, 30)


def features_of(path: Path) -> list[dict[str, Any]]:
    """The features of a file, which must be strict JSON."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    content = json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
    assert content["type"] == "FeatureCollection"
    features: list[dict[str, Any]] = content["features"]
    return features


def polygons_of(feature: dict[str, Any]) -> list[list[np.ndarray]]:
    geometry = feature["geometry"]
    several = geometry["type"] == "MultiPolygon"
    assert several or geometry["type"] == "Polygon"
    polygons = geometry["coordinates"] if several else [geometry["coordinates"]]
    return [[np.array(ring) for ring in polygon] for polygon in polygons]


def pixels_of(feature: dict[str, Any], size: tuple[int, int]) -> np.ndarray:
    """bool[H, W]: inside some polygon's outer ring and none of its holes, by the RFC."""
    row, col = np.mgrid[: size[0], : size[1]] + 0.5
    centres = np.stack((col.ravel(), row.ravel()), axis=1)
    result = np.zeros(row.size, bool)
    for outer, *holes in polygons_of(feature):
        inside = Curve(outer, closed=True).contains_points(centres)
        for hole in holes:
            inside &= ~Curve(hole, closed=True).contains_points(centres)
        result |= inside
    return result.reshape(size)


@given(stack=stacks())
def test_features_fill_to_the_same_pixels(
    stack: Stack, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("geojson") / "x.geojson"
    cells = instances_of(stack)
    write_geojson(path, cells)
    with_pixels = stack[stack.any(axis=(1, 2))]
    features = features_of(path)
    assert len(features) == len(with_pixels)
    for feature, mask in zip(features, with_pixels, strict=True):
        assert np.array_equal(pixels_of(feature, cells.size), mask)
        for rings in polygons_of(feature):
            assert all((ring[0] == ring[-1]).all() for ring in rings)
    assert np.array_equal(stack_of(read_geojson(path, cells.size)), with_pixels)


def test_a_cell_by_hand(tmp_path: Path) -> None:
    labels = np.zeros(SIZE, int)
    labels[2:5, 10:20] = 1
    cells = Instances.from_label_map(
        labels, cell_type=np.array([1]), type_names=("astro", "cort"),
        score=np.array([0.7], np.float32),
    )  # fmt: skip
    write_geojson(tmp_path / "x.geojson", cells)
    (feature,) = features_of(tmp_path / "x.geojson")
    colour = feature["properties"]["classification"].pop("color")
    assert feature == {
        "type": "Feature",
        "geometry": {
            "type": "Polygon",
            "coordinates": [[[10, 2], [20, 2], [20, 5], [10, 5], [10, 2]]],
        },
        "properties": {
            "objectType": "cell",
            "name": "1",
            "classification": {"name": "cort"},
            "measurements": {"score": 0.7, "area": 30},
        },
    }
    assert len(colour) == 3
    assert all(isinstance(value, int) and 0 <= value <= 255 for value in colour)


def test_measurements_are_numbers_by_name(tmp_path: Path) -> None:
    labels = np.zeros(SIZE, int)
    labels[2:5, 10:20] = 1
    cells = Instances.from_label_map(labels)
    table = measure(ArrayImage(np.full(SIZE, 1 / 3)), cells)
    write_geojson(tmp_path / "x.geojson", cells, measurements=table)
    (feature,) = features_of(tmp_path / "x.geojson")
    found = feature["properties"]["measurements"]
    # Text has keys of its own, and unknown values are left out.
    known = {name for name, column in table.items() if column.dtype.kind in "if"} - {"id"}
    assert set(found) == {name for name in known if table[name][0] == table[name][0]}
    assert found["intensity_mean"] == pytest.approx(1 / 3, rel=1e-6)
    assert found["centroid_col"] == 14.5


def many(count: int = 700) -> Instances:
    """Cells of 2 x 2 pixels of two types."""
    labels = np.arange(count).reshape(-1, 20).repeat(2, axis=0).repeat(2, axis=1) + 1
    return Instances.from_label_map(
        labels, cell_type=np.arange(count) % 2, type_names=("a", "µ"),
        score=np.linspace(0.1, 1, count, dtype=np.float32),
    )  # fmt: skip


def test_more_than_255_cells_keep_type_and_score(tmp_path: Path) -> None:
    cells, path = many(), tmp_path / "x.geojson"
    write_geojson(path, cells)
    assert [each["properties"]["name"] for each in features_of(path)][-1] == "700"
    found = read_geojson(path, cells.size)
    assert np.array_equal(found.label_map(), cells.label_map())
    assert found.type_names == cells.type_names
    assert np.array_equal(found.cell_type, cells.cell_type)
    assert np.array_equal(np.asarray(found.score), np.asarray(cells.score))
    expected = read_geojson(path, cells.size, type_names=("µ", "z"))
    assert expected.type_names == ("µ", "z", "a")
    assert expected.cell_type.tolist()[:2] == [2, 0]


def test_no_cells(tmp_path: Path) -> None:
    write_geojson(tmp_path / "x.geojson", Instances.empty(SIZE))
    assert features_of(tmp_path / "x.geojson") == []
    found = read_geojson(tmp_path / "x.geojson", SIZE)
    assert (len(found), found.size, found.type_names) == (0, SIZE, ("cell",))


def test_cells_of_a_frame_are_on_its_plane(tmp_path: Path) -> None:
    path = tmp_path / "x.geojson"
    write_geojson(path, many(20), frame=3)
    planes = [feature["geometry"]["plane"] for feature in features_of(path)]
    assert planes == [{"c": -1, "z": 0, "t": 3}] * 20
    assert len(read_geojson(path, (4, 40), frame=3)) == 20
    assert len(read_geojson(path, (4, 40), frame=0)) == 0


SQUARE = [[[1, 1], [4, 1], [4, 3], [1, 3], [1, 1]]]


def feature(geometry: Any = None, **properties: Any) -> dict[str, Any]:
    shape = {"type": "Polygon", "coordinates": SQUARE} if geometry is None else geometry
    return {"type": "Feature", "geometry": shape, "properties": properties}


@pytest.mark.parametrize(
    ("content", "type_name", "score"),
    [
        ([feature(objectType="annotation")], "cell", None),
        ({"type": "FeatureCollection", "features": [feature()]}, "cell", None),
        (feature(classification={"name": "Tumor", "colorRGB": -3670016}), "Tumor", None),
        # as QuPath 0.3 exported measurements
        ([feature(measurements=[{"name": "score", "value": 0.25}])], "cell", 0.25),
        ([feature(measurements={"score": "NaN", "Area": 3}, classification=None)], "cell", None),
        ([{"type": "Feature", "geometry": feature()["geometry"]}], "cell", None),
    ],
)
def test_files_of_other_programs_are_read(
    tmp_path: Path, content: Any, type_name: str, score: float | None
) -> None:
    (tmp_path / "x.json").write_text(json.dumps(content))
    found = read_geojson(tmp_path / "x.json", SIZE)
    mask = np.zeros((1, *SIZE), bool)
    mask[0, 1:3, 1:4] = True
    assert np.array_equal(stack_of(found), mask)
    assert found.type_names == (type_name,)
    assert (None if found.score is None else found.score.tolist()) == (score and [score])


def test_an_outline_drawn_by_hand_with_fractions_and_heights(tmp_path: Path) -> None:
    ring = [[0.6, 0.6, 9], [2.6, 0.6, 9], [2.6, 40.0, 9], [0.6, 40.0, 9], [0.6, 0.6, 9]]
    drawn = feature({"type": "MultiPolygon", "coordinates": [[ring], SQUARE]})
    (tmp_path / "x.geojson").write_text(json.dumps([drawn]))
    mask = np.zeros((1, *SIZE), bool)
    mask[0, 1:, 1:3] = True
    mask[0, 1:3, 1:4] ^= True  # overlapping parts break the rules, and cancel out
    assert np.array_equal(stack_of(read_geojson(tmp_path / "x.geojson", SIZE)), mask)


@pytest.mark.parametrize(
    ("classification", "name"),
    [
        ({"names": ["Tumor", "Positive"], "color": [1, 2, 3]}, "Tumor: Positive"),
        ({"name": "Tumor", "colorRGB": -3670016}, "Tumor"),
        ("Tumor", "Tumor"),
        ({"color": [1, 2, 3]}, "cell"),
        (None, "cell"),
    ],
)
def test_classes_as_all_versions_write_them(tmp_path: Path, classification: Any, name: str) -> None:
    (tmp_path / "x.geojson").write_text(json.dumps([feature(classification=classification)]))
    assert read_geojson(tmp_path / "x.geojson", SIZE).type_names == (name,)


@pytest.mark.parametrize(
    ("content", "key"),
    [
        ("nonsense", None),
        ("3", "features"),
        ('{"type": "Topology"}', "features"),
        ("[1, 2]", "features"),
        ([feature(), feature({"type": "Point", "coordinates": [1, 2]})], "feature 1"),
        ([feature({"type": "Polygon"})], "feature 0"),
        ([feature({"type": "Polygon", "coordinates": [[1, 2]]})], "feature 0"),
        ([feature({"type": "Polygon", "coordinates": [[["a", 2]]]})], "feature 0"),
        ([feature({"type": "Polygon", "coordinates": [[[1], [2]]]})], "feature 0"),
        ([feature({"type": "Polygon", "coordinates": [[[0, 0], [float("nan"), 1]]]})],
         "feature 0"),
        ([{"type": "Feature", "geometry": None}], "feature 0"),
        ([feature(classification=["x"])], "feature 0"),
    ],
)  # fmt: skip
def test_other_geojson_is_refused(tmp_path: Path, content: Any, key: str | None) -> None:
    path = tmp_path / "x.geojson"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with refused(FormatError, file=path, key=key) as error:
        read_geojson(path, SIZE)
    assert str(path) in str(error.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with refused(InputError, file="x.geojson"):
        read_geojson(tmp_path / "x.geojson", SIZE)

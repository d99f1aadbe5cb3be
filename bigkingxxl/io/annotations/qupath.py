"""Read and write GeoJSON as QuPath imports and exports it (File > Import objects).

The file is a FeatureCollection with one feature per cell in pixel coordinates: a Polygon along the
edges of its pixels, or a MultiPolygon for several parts. Its `objectType` is "cell"
(without a nucleus), its classification the type with its colour, its name the number in the label
image, and its measurements the score and further values.

Source: QuPath's documentation ("Exporting annotations") and its JSON of objects since version 0.4;
RFC 7946.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.errors import FormatError
from bigkingxxl.files import whole_file
from bigkingxxl.instances import Instances
from bigkingxxl.io.annotations.coco_segments import read_json
from bigkingxxl.io.annotations.outline_cells import (
    NoAreaError,
    OutlineCell,
    instances_from_outlines,
)
from bigkingxxl.io.annotations.outlines import Polygon, outlines
from bigkingxxl.io.pictures.overlay import TYPE_COLOURS

OBJECT_TYPE = "cell"
SCORE = "score"
IGNORED, REGION = "Ignore*", "Region*"  # QuPath's classes of areas that are not objects
NOT_MEASURED = ("id", "type", "score")


def write_geojson(
    path: Path,
    instances: Instances,
    *,
    measurements: Mapping[str, NDArray[Any]] | None = None,
    frame: int | None = None,
    numbers: NDArray[np.int64] | None = None,
) -> None:
    """Write one feature per non-empty cell, each on its own line.

    Args:
        path: The file.
        instances: The cells.
        measurements: Columns of N values by name, as from `measurements.measure`; by default the
            area in pixels.
        frame: The frame of a time-lapse to which the cells belong, counted from 0.
        numbers: int64[N], the numbers of the cells in the label image; by default from 1.

    Raises:
        OutputError: The file cannot be written.
    """
    columns = {"area": instances.areas()} if measurements is None else measurements
    features = _features(instances, columns, frame, numbers)
    with whole_file(path) as temporary, temporary.open("w", encoding="utf-8") as stream:
        stream.write('{"type": "FeatureCollection", "features": [')
        before = "\n"
        for feature in features:
            stream.write(before + json.dumps(feature))
            before = ",\n"
        stream.write("\n]}\n")


def _features(
    instances: Instances,
    columns: Mapping[str, NDArray[Any]],
    frame: int | None,
    own: NDArray[np.int64] | None,
) -> Iterator[dict[str, Any]]:
    numbers = {name: each.tolist() for name, each in columns.items() if name not in NOT_MEASURED}
    for index, polygons in enumerate(outlines(instances)):
        if not polygons:
            continue
        kind = int(instances.cell_type[index])
        name, colour = instances.type_names[kind], TYPE_COLOURS[kind % len(TYPE_COLOURS)].tolist()
        measured = {
            column: float(f"{values[index]:.7g}")
            for column, values in numbers.items()
            if math.isfinite(values[index])
        }
        if instances.score is not None and math.isfinite(instances.score[index]):
            # The shortest text that restores the same float32.
            measured = {SCORE: float(str(instances.score[index])), **measured}
        yield {
            "type": "Feature",
            "geometry": _geometry(polygons, frame),
            "properties": {
                "objectType": OBJECT_TYPE,
                "name": str(index + 1 if own is None else own[index]),
                **({"classification": {"name": name, "color": colour}} if name else {}),
                "measurements": measured,
            },
        }


def _geometry(polygons: Sequence[Polygon], frame: int | None) -> dict[str, Any]:
    # A GeoJSON ring ends where it starts.
    rings = [[np.concatenate((ring, ring[:1])).tolist() for ring in each] for each in polygons]
    plane = {} if frame is None else {"plane": {"c": -1, "z": 0, "t": frame}}
    if len(rings) == 1:
        return {"type": "Polygon", **plane, "coordinates": rings[0]}
    return {"type": "MultiPolygon", **plane, "coordinates": rings}


def read_geojson(
    path: Path,
    size: tuple[int, int],
    *,
    type_names: Sequence[str] | None = None,
    frame: int | None = None,
) -> Instances:
    """Read the cells of a GeoJSON file: detections, cells and annotations exported by QuPath.

    A cell is the area inside its outline, whatever its nucleus; without a class its type is 'cell'.

    Args:
        path: The file.
        size: (H, W) of the image, which the file does not store; the rest is clipped.
        type_names: The expected types; others in the file are appended.
        frame: Only objects of this frame, counted from 0; None reads all.

    Raises:
        InputError: The file does not exist.
        FormatError: It is not GeoJSON with features, or a feature has no area (a point, a line).
    """
    cells = [cell for cell in _cells(path, frame) if cell.type_name not in (IGNORED, REGION)]
    return instances_from_outlines(cells, size, type_names)


def read_regions(path: Path, size: tuple[int, int]) -> tuple[Instances | None, Instances | None]:
    """Read the areas of the classes `Ignore*` and `Region*`; None if there are none.

    QuPath ignores the first in training, and measures within the second.

    Raises:
        InputError: See `read_geojson`.
        FormatError: See `read_geojson`.
    """
    cells = _cells(path, None)
    found = [[cell for cell in cells if cell.type_name == name] for name in (IGNORED, REGION)]
    ignored, regions = (instances_from_outlines(some, size) if some else None for some in found)
    return ignored, regions


def read_areas(path: Path, size: tuple[int, int]) -> Instances:
    """Read every area of a GeoJSON file, whatever its class; for errors see `read_geojson`."""
    return instances_from_outlines(_cells(path, None), size)


def _cells(path: Path, frame: int | None) -> list[OutlineCell]:
    content = read_json(Path(path))
    if isinstance(content, dict):
        single = content.get("type") == "Feature"
        content = [content] if single else content.get("features")
    if not isinstance(content, list) or not all(isinstance(each, dict) for each in content):
        raise FormatError(
            f"{path} is not GeoJSON with a list of features", file=path, key="features"
        )
    cells = []
    for place, feature in enumerate(content):
        try:
            if frame is None or _frame(feature) == frame:
                cells.append(_cell(feature))
        except (LookupError, TypeError, ValueError, OverflowError, AttributeError) as error:
            what = error if isinstance(error, NoAreaError) else "malformed"
            raise FormatError(
                f"{path}: feature {place} is {what}, expected an area",
                file=path,
                key=f"feature {place}",
                found=what,
            ) from error
    return cells


def _frame(feature: Mapping[str, Any]) -> int:
    return int(feature["geometry"].get("plane", {}).get("t", 0))


def _cell(feature: Mapping[str, Any]) -> OutlineCell:
    geometry = feature["geometry"]
    kind, coordinates = geometry.get("type"), geometry.get("coordinates")
    if kind not in ("Polygon", "MultiPolygon"):
        raise NoAreaError(f"of the kind {kind}")
    polygons = [coordinates] if kind == "Polygon" else coordinates
    # A third coordinate would be a height.
    rings = [np.array(ring, np.float64)[:, :2] for polygon in polygons for ring in polygon]
    if not all(ring.shape[1] == 2 and np.isfinite(ring).all() for ring in rings):
        raise NoAreaError("made of points that are not finite")
    properties = feature.get("properties") or {}
    score = _measured(properties.get("measurements")).get(SCORE)
    return OutlineCell(
        rings,
        type_name=_class_name(properties.get("classification")),
        score=score if isinstance(score, int | float) and math.isfinite(score) else None,
    )


def _class_name(classification: Any) -> str | None:
    """Return a class as QuPath shows it; a derived class ('Tumor: Positive') is a list."""
    if isinstance(classification, str):
        return classification or None
    name = (classification or {}).get("name")
    if name is None:
        name = ": ".join((classification or {}).get("names") or ())
    return name if isinstance(name, str) and name else None


def _measured(measurements: Any) -> dict[str, Any]:
    """Return measurements by name; before QuPath 0.4 they are a list of names and values."""
    if isinstance(measurements, list):
        return {each["name"]: each["value"] for each in measurements}
    return dict(measurements or {})

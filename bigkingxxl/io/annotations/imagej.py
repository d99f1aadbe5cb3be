"""Read and write ImageJ ROIs in a zip archive, as Fiji's ROI Manager does.

A cell with one part is a traced ROI along the corners of its pixels; a cell with several parts or
holes is a composite ROI, filled by the even-odd rule. Each ROI is named by its number in the label
image and its type, has the colour and group of the type, and stores type and score as properties.

Source: ImageJ's `RoiEncoder` and `RoiDecoder`, by way of roifile.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.errors import FormatError, InputError
from bigkingxxl.files import whole_file
from bigkingxxl.instances import Instances
from bigkingxxl.io.annotations.outline_cells import (
    NoAreaError,
    OutlineCell,
    instances_from_outlines,
)
from bigkingxxl.io.annotations.outlines import Polygon, Ring, outlines
from bigkingxxl.io.pictures.overlay import TYPE_COLOURS

if TYPE_CHECKING:
    from roifile import ImagejRoi

LARGEST_WHOLE = 60_535  # ImageJ reads larger integer coordinates as negative
LARGEST_ROI, LARGEST_ARCHIVE = 1 << 26, 1 << 30  # bytes, uncompressed
MOVE, LINE, CLOSE = 0.0, 1.0, 4.0  # steps of a composite ROI's path
FIXED_TIME = (1980, 1, 1, 0, 0, 0)
OVAL_POINTS = 720


def write_rois(
    path: Path,
    instances: Instances,
    *,
    frame: int | None = None,
    numbers: NDArray[np.int64] | None = None,
) -> None:
    """Write one ROI per non-empty cell; the same cells give the same bytes.

    Args:
        path: The file.
        instances: The cells.
        frame: The frame of a time-lapse to which the ROIs belong, counted from 0.
        numbers: int64[N], the numbers of the cells in the label image; by default from 1.

    Raises:
        OutputError: The file cannot be written.
    """
    with whole_file(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for index, polygons in enumerate(outlines(instances)):
            if not polygons:
                continue
            roi = _roi(polygons)
            kind = int(instances.cell_type[index])
            name = instances.type_names[kind]
            number = index + 1 if numbers is None else int(numbers[index])
            roi.name = f"{number:04d} {name}".rstrip()
            roi.stroke_color = bytes([255, *TYPE_COLOURS[kind % len(TYPE_COLOURS)].tolist()])
            roi.group = kind + 1
            roi.position = 0 if frame is None else frame + 1
            roi.props = f"type: {name}\n" if name else ""
            if instances.score is not None and np.isfinite(instances.score[index]):
                roi.props += f"score: {instances.score[index]!s}\n"
            file_name = roi.name.replace("/", "_").replace("\\", "_")
            entry = zipfile.ZipInfo(f"{file_name}.roi", date_time=FIXED_TIME)
            archive.writestr(entry, roi.tobytes(), zipfile.ZIP_DEFLATED)


def _roi(polygons: Sequence[Polygon]) -> ImagejRoi:
    from roifile import ROI_OPTIONS, ROI_TYPE, ImagejRoi

    rings = [ring for polygon in polygons for ring in polygon]
    corners = np.concatenate(rings)
    (left, top), (right, bottom) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
    roi = ImagejRoi(top=top, left=left, bottom=bottom, right=right)
    if len(rings) > 1:
        roi.roitype = ROI_TYPE.RECT
        roi.multi_coordinates = np.concatenate([_path(ring) for ring in rings])
        roi.shape_roi_size = len(roi.multi_coordinates)
        return roi
    roi.roitype = ROI_TYPE.TRACED
    roi.n_coordinates = len(corners)
    roi.integer_coordinates = corners - np.array([left, top], np.int32)
    if max(right, bottom) > LARGEST_WHOLE:
        roi.options = ROI_OPTIONS.SUB_PIXEL_RESOLUTION
        roi.subpixel_coordinates = corners.astype(np.float32)
    return roi


def _path(ring: Ring) -> NDArray[np.float32]:
    """Return a path, float32[3 K + 1]: move to the first corner, lines to the others, close."""
    steps = np.full((len(ring), 3), LINE, np.float32)
    steps[0, 0] = MOVE
    steps[:, 1:] = ring
    return np.append(steps.ravel(), np.float32(CLOSE))


def read_rois(
    path: Path,
    size: tuple[int, int],
    *,
    type_names: Sequence[str] | None = None,
    frame: int | None = None,
) -> Instances:
    """Read the cells of an archive of ROIs, drawn by hand or written by a program.

    The type of a cell is the property 'type' of its ROI, as `write_rois` writes it, else 'cell'.

    Args:
        path: The file.
        size: (H, W) of the image, which the archive does not store; the rest is clipped.
        type_names: The expected types; others in the file are appended.
        frame: Only ROIs of this frame, counted from 0; None reads all.

    Raises:
        InputError: The file does not exist.
        FormatError: It is not an archive of ROIs, or an ROI has no area (a line, points).
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"there is no file {path}", file=path)
    cells = []
    for name, content in _contents(path):
        roi = _parsed(path, name, content)
        if frame is not None and roi.position not in (0, frame + 1):
            continue
        try:
            rings = _rings(roi)
        except Exception as error:  # roifile raises many kinds of exception for damaged points
            what = error if isinstance(error, NoAreaError) else f"damaged ({error})"
            raise FormatError(
                f"{path}: the ROI '{name}' is {what}, expected an area",
                file=path,
                key=name,
                found=what,
            ) from error
        cells.append(OutlineCell(rings, **_properties(roi.props)))
    return instances_from_outlines(cells, size, type_names)


def _contents(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield name and bytes of each ROI in an archive, or of a single `.roi` file.

    Nothing is unpacked to disk, whatever names the archive contains.
    """
    name = path.name
    try:
        if not zipfile.is_zipfile(path):
            if path.stat().st_size > LARGEST_ROI:
                raise ValueError(f"{path.stat().st_size:,} bytes, expected {LARGEST_ROI:,} at most")
            yield name, path.read_bytes()
            return
        with zipfile.ZipFile(path) as archive:
            entries = [
                each for each in archive.infolist() if each.filename.lower().endswith(".roi")
            ]
            total = sum(each.file_size for each in entries)
            if total > LARGEST_ARCHIVE:
                raise ValueError(f"{total:,} bytes, expected {LARGEST_ARCHIVE:,} at most")
            for entry in entries:
                name = entry.filename
                if entry.file_size > LARGEST_ROI:
                    raise ValueError(f"{entry.file_size:,} bytes, expected {LARGEST_ROI:,} at most")
                with archive.open(entry) as stream:
                    yield name, stream.read(LARGEST_ROI)
    # RuntimeError is raised for an archive with a password.
    except (zipfile.BadZipFile, zlib.error, ValueError, EOFError, OSError, NotImplementedError,
            RuntimeError, struct.error, MemoryError) as error:  # fmt: skip
        raise FormatError(
            f"{path} is not a file of ImageJ ROIs ({name}: {error})", file=path, key=str(name)
        ) from error


def _parsed(path: Path, name: str, content: bytes) -> ImagejRoi:
    from roifile import ImagejRoi

    try:
        return ImagejRoi.frombytes(content)
    except Exception as error:  # roifile raises many kinds of exception for truncated files
        raise FormatError(
            f"{path} is not a file of ImageJ ROIs ({name}: {error})", file=path, key=name
        ) from error


def holds_rois(path: Path) -> bool:
    """Return whether a file is a `.roi` file or an archive that contains one."""
    if path.suffix.lower() == ".roi":
        return True
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.lower().endswith(".roi") for name in archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return False


def _rings(roi: ImagejRoi) -> list[NDArray[Any]]:
    """Return the outlines of an area as x and y, float[K, 2].

    Raises:
        NoAreaError: It is not an area, or its points are not finite.
        ValueError, RuntimeError, IndexError, OverflowError: It is damaged.
    """
    from roifile import ROI_SUBTYPE, ROI_TYPE

    areas = (ROI_TYPE.POLYGON, ROI_TYPE.FREEHAND, ROI_TYPE.TRACED, ROI_TYPE.RECT, ROI_TYPE.OVAL)
    # Ellipses and rotated rectangles store their corners, like freehand shapes.
    kinds = (ROI_SUBTYPE.UNDEFINED, ROI_SUBTYPE.ELLIPSE, ROI_SUBTYPE.ROTATED_RECT)
    if roi.roitype not in areas or roi.subtype not in kinds:
        kind = roi.roitype if roi.roitype not in areas else roi.subtype
        raise NoAreaError(f"of the kind {kind.name.lower()}")
    left, top, right, bottom = map(float, (roi.left, roi.top, roi.right, roi.bottom))
    if roi.subpixelrect:
        left, top, right, bottom = roi.xd, roi.yd, roi.xd + roi.widthd, roi.yd + roi.heightd
    if roi.roitype == ROI_TYPE.OVAL:
        turn = np.linspace(0, 2 * np.pi, OVAL_POINTS, endpoint=False)
        circle = np.stack((np.cos(turn), np.sin(turn)), axis=1)
        rings = [(circle * (right - left, bottom - top) + (left + right, top + bottom)) / 2]
    elif roi.roitype == ROI_TYPE.RECT and not roi.composite:
        rings = [np.array([[left, top], [right, top], [right, bottom], [left, bottom]])]
    else:
        rings = [np.asarray(ring) for ring in roi.coordinates(multi=True)]
    if roi.subtype != ROI_SUBTYPE.UNDEFINED and not any(ring.size for ring in rings):
        raise NoAreaError("without points")
    if not all(np.isfinite(ring).all() for ring in rings):
        raise NoAreaError("a path with points that are not finite")
    return rings


def _properties(text: str) -> dict[str, Any]:
    """Read type and score from lines 'key: value'."""
    pairs = (line.partition(":")[::2] for line in text.splitlines())
    found = {key.strip(): value.strip() for key, value in pairs}
    try:
        score = float(found.get("score", ""))
    except ValueError:
        score = float("nan")
    return {
        "type_name": found.get("type") or None,
        "score": score if np.isfinite(score) else None,
    }

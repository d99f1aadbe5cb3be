"""Malicious annotation files: refused in one sentence, without using memory for them."""

from __future__ import annotations

import io
import json
import pickle
import struct
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import roifile
from PIL import Image
from pycocotools import mask as api

from bigkingxxl.data.dataset import open_dataset
from bigkingxxl.errors import BigKingXXLError, FormatError
from bigkingxxl.io.annotations.cellpose import read_seg
from bigkingxxl.io.annotations.coco import read_coco
from bigkingxxl.io.annotations.imagej import read_rois
from bigkingxxl.io.annotations.kaggle import read_annotations, read_submission
from bigkingxxl.io.annotations.labelme import read_labelme
from bigkingxxl.io.annotations.limits import MOST_ROWS
from bigkingxxl.io.annotations.outlines import filled
from bigkingxxl.io.annotations.polygons import fill_polygons
from bigkingxxl.io.annotations.qupath import read_geojson
from tests.refusals import refused

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SIZE = (300, 400)
MEGABYTE = 1 << 20


@contextmanager
def memory_below(megabytes: int) -> Iterator[None]:
    """Fail if the block uses more memory at any time."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < megabytes * MEGABYTE, f"{peak / MEGABYTE:.0f} MB"


def zigzag(points: int, low: float, high: float) -> np.ndarray:
    """A polygon that goes back and forth between two rows, again and again."""
    x = np.sort(np.random.default_rng(points).uniform(0, SIZE[1], points))
    return np.stack((x, np.where(np.arange(points) % 2, low, high)), axis=1)


def even_odd(rings: list[np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """bool[H, W]: pixel centres inside an odd number of rings, one row at a time."""
    inside = np.zeros(size, bool)
    for row in range(size[0]):
        y, crossings = row + 0.5, []
        for ring in rings:
            one, two = ring, np.roll(ring, -1, axis=0)
            cut = (np.minimum(one[:, 1], two[:, 1]) <= y) & (y < np.maximum(one[:, 1], two[:, 1]))
            step = (two - one)[cut]
            crossings.append(one[cut, 0] + (y - one[cut, 1]) * step[:, 0] / step[:, 1])
        centres = np.arange(size[1]) + 0.5
        count = np.searchsorted(np.sort(np.concatenate(crossings)), centres, side="right")
        inside[row] = count % 2 == 1
    return inside


# ---- outlines ------------------------------------------------------------------------------------


def test_memory_follows_the_area_of_an_outline_of_80_000_points(tmp_path: Path) -> None:
    ring = zigzag(80_000, 20.3, 60.7)
    ring[1] = 1e9
    feature = {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring.tolist()]}}
    path = tmp_path / "x.geojson"
    path.write_text(json.dumps(feature))
    del feature
    with memory_below(250):
        cells = read_geojson(path, SIZE)
    assert np.array_equal(cells.mask(0), even_odd([ring], SIZE))


def test_many_crossings_are_filled_by_the_same_rule() -> None:
    """The code path for very long outlines, compared with plain counting."""
    rng = np.random.default_rng(3)
    ring = rng.uniform(-20, 420, (9_000, 2))
    hole = rng.uniform(50, 250, (5, 2))
    size = (300, 400)
    with memory_below(200):
        cells = filled([[np.array([[1, 1], [9, 1], [9, 9]])], [ring, hole]], size)
    assert np.array_equal(cells.mask(1), even_odd([ring, hole], size))
    assert cells.areas()[0] == even_odd([np.array([[1.0, 1], [9, 1], [9, 9]])], size).sum()


def test_long_coco_outlines_are_filled_as_pycocotools_fills_them() -> None:
    rng = np.random.default_rng(4)
    polygons = [
        rng.uniform(-50, 450, (2_000, 2)),
        zigzag(3_000, -9.0, 290.0),
        rng.uniform(0, 90, (5, 2)),
    ]
    with memory_below(200):
        runs, owner = fill_polygons(polygons, SIZE)
    for index, polygon in enumerate(polygons):
        mask = np.zeros(SIZE, bool)
        for row, start, stop in runs[owner == index]:
            mask[row, start:stop] = True
        (code,) = api.frPyObjects([polygon.ravel().tolist()], *SIZE)
        assert np.array_equal(mask, api.decode(code).astype(bool))


def test_distant_coordinates_are_clipped_or_refused(tmp_path: Path) -> None:
    far = [[-1e9, -1e9], [1e9, -1e9], [1e9, 1e9], [-1e9, 1e9]]
    with memory_below(50):
        assert filled([[np.array(far)]], SIZE).areas().tolist() == [SIZE[0] * SIZE[1]]
    (tmp_path / "x.json").write_text(
        json.dumps({"shapes": [{"label": "a", "points": [[1e308, -1e308], [1, 1], [5, 9]]}]})
    )
    with memory_below(50):
        read_labelme(tmp_path / "x.json", SIZE)


@pytest.mark.parametrize("read", [read_geojson, read_labelme, lambda path, _: read_coco(path)])
@pytest.mark.parametrize("content", ["[" * 100_000, '{"a":' * 100_000, "9" * 10_000, "\x00", ""])
def test_json_of_any_depth_is_one_sentence(
    tmp_path: Path, read: Callable[[Path, tuple[int, int]], Any], content: str
) -> None:
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(FormatError):
        read(tmp_path / "x.json", SIZE)


# ---- run lengths ---------------------------------------------------------------------------------


def table(tmp_path: Path, *rows: str) -> Path:
    path = tmp_path / "train.csv"
    path.write_text("\n".join(["id,annotation,width,height,cell_type", *rows]) + "\n")
    return path


@pytest.mark.parametrize(
    "row",
    [
        "a,1 2147483648,400,300,cort", "a,1 2147483648,2147483647,1,cort",
        "a,1 10,2147483647,2147483647,cort", "a,1 9223372036854775807,400,300,cort",
    ],
)  # fmt: skip
def test_a_run_of_two_billion_pixels_is_one_sentence(tmp_path: Path, row: str) -> None:
    with memory_below(20), refused(FormatError, line=2):
        read_annotations(table(tmp_path, row))


def test_runs_over_endless_rows_are_refused_before_they_are_unrolled(tmp_path: Path) -> None:
    row = f"a,1 {2**34 - 1},16384,1048576,cort"
    found = read_annotations(table(tmp_path, *[row] * 40))
    with memory_below(20), refused(FormatError, key="annotation", expected=MOST_ROWS):
        found.instances("a")


def test_a_size_is_believed_only_if_the_image_has_it(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    Image.fromarray(np.zeros(SIZE, np.uint8)).save(tmp_path / "train" / "a.png")
    table(tmp_path, f"a,1 {2**30},1048576,16384,cort")
    with memory_below(50), pytest.raises(FormatError, match="400 x 300"):
        open_dataset(tmp_path).read_instances("a")


def test_submissions_of_other_images_cost_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "submission.csv"
    path.write_text("id,predicted\na,1 2147483648\n")
    with memory_below(20), refused(BigKingXXLError, line=2):
        read_submission(path, {"a": SIZE})


def coco(tmp_path: Path, segments: list[Any], size: tuple[int, int] = SIZE) -> Path:
    content = {
        "images": [{"id": 1, "file_name": "x.png", "height": size[0], "width": size[1]}],
        "annotations": [
            {"id": n, "image_id": 1, "category_id": 1, "segmentation": segment}
            for n, segment in enumerate(segments)
        ],
        "categories": [{"id": 1, "name": "cell"}],
    }
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    return tmp_path / "annotations.json"


def test_thousands_of_cells_that_cover_the_image_take_runs_not_pixels(tmp_path: Path) -> None:
    area = SIZE[0] * SIZE[1]
    whole = {"size": list(SIZE), "counts": [0, area]}
    text = {"size": list(SIZE), "counts": api.encode(np.asfortranarray(np.ones(SIZE, np.uint8)))
            ["counts"].decode()}  # fmt: skip
    found = read_coco(coco(tmp_path, [whole, text] * 200))
    with memory_below(150):
        cells = found.instances("x")
    assert (cells.areas() == area).all()


def test_counts_that_overflow_are_refused(tmp_path: Path) -> None:
    area = SIZE[0] * SIZE[1]
    counts = [2**62, 2**62, 2**62, 2**62 + area]
    with memory_below(20), pytest.raises(FormatError):
        read_coco(coco(tmp_path, [{"size": list(SIZE), "counts": counts}])).instances("x")


def test_a_large_cell_is_drawn_as_it_is(tmp_path: Path) -> None:
    size = (1_200, 1_000)
    mask = np.random.default_rng(5).integers(0, 2, size).astype(np.uint8)
    code = api.encode(np.asfortranarray(mask))
    segment = {"size": list(size), "counts": code["counts"].decode()}
    cells = read_coco(coco(tmp_path, [segment], size)).instances("x")
    assert np.array_equal(cells.mask(0), mask.astype(bool))


def test_a_claimed_size_beyond_all_images_is_refused(tmp_path: Path) -> None:
    with refused(FormatError):
        read_coco(coco(tmp_path, [], (2**30, 2**30)))


# ---- archives ------------------------------------------------------------------------------------


def test_a_zip_bomb_is_refused_by_its_directory(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(1):
            archive.writestr(f"{number}.roi", bytes(70 * MEGABYTE))
    with memory_below(20), refused(FormatError, file=path):
        read_rois(path, SIZE)


def test_names_outside_an_archive_write_nothing(tmp_path: Path) -> None:
    roi = roifile.ImagejRoi.frompoints([(4, 3), (14, 3), (14, 11), (4, 11)])
    inner = tmp_path / "in" / "x.zip"
    inner.parent.mkdir()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("../../out.roi", roi.tobytes())
    assert read_rois(inner, SIZE).areas().tolist() == [80]
    assert [path.name for path in tmp_path.rglob("*.roi")] == []


def test_an_archive_with_a_password_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    roi = roifile.ImagejRoi.frompoints([(4, 3), (14, 3), (14, 11)])
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.roi", roi.tobytes())
    content = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = content.index(mark) + offset
        content[place] |= 1
    path.write_bytes(bytes(content))
    with pytest.raises(FormatError, match=r"a\.roi"):
        read_rois(path, SIZE)


# ---- pickles -------------------------------------------------------------------------------------


def seg(tmp_path: Path, content: bytes) -> Path:
    stream = io.BytesIO()
    header = {"descr": "|O", "fortran_order": False, "shape": ()}
    np.lib.format.write_array_header_1_0(stream, header)
    path = tmp_path / "x_seg.npy"
    path.write_bytes(stream.getvalue() + content)
    return path


def doubled_tuple_as_key() -> bytes:
    """A mapping whose key is a tuple of twice a tuple, 60 deep: hashing it would take forever."""
    pairs = (b"q" + bytes([depth]) + b"h" + bytes([depth]) + b"\x86" for depth in range(60))
    return b"".join([b"\x80\x04}K\x01", *pairs, b"K\x01s."])


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x05\x96" + struct.pack("<Q", 1 << 34) + b".",  # a byte array of 16 GB
        b"\x80\x04\x8e" + struct.pack("<Q", 1 << 40) + b".",  # bytes of a terabyte
        b"\x80\x04\x8b" + struct.pack("<i", 2**31 - 1) + b".",  # a number of 2 GB
        doubled_tuple_as_key(),
        pickle.dumps({frozenset((1, 2)): 1}),
        pickle.dumps({1, 2}),
        b"cos\nsystem\n(S'touch /tmp/never'\ntR.",
    ],
)
def test_a_malicious_pickle_runs_nothing_and_costs_little(tmp_path: Path, content: bytes) -> None:
    with memory_below(20), refused(FormatError, file="x_seg.npy"):
        read_seg(seg(tmp_path, content))


# ---- images --------------------------------------------------------------------------------------


def test_a_label_image_that_claims_another_size_is_not_decoded(tmp_path: Path) -> None:
    Image.fromarray(np.zeros(SIZE, np.uint8)).save(tmp_path / "x.png")
    Image.fromarray(np.ones((9_000, 9_000), bool)).save(tmp_path / "x_masks.png")
    with memory_below(30), pytest.raises(FormatError, match="9000 x 9000"):
        open_dataset(tmp_path).instances("x")


def test_a_mask_of_labelme_is_no_larger_than_its_image(tmp_path: Path) -> None:
    import base64

    stream = io.BytesIO()
    Image.fromarray(np.ones((9_000, 9_000), bool)).save(stream, "PNG")
    shape = {"label": "a", "shape_type": "mask", "points": [[0, 0], [9, 9]],
             "mask": base64.b64encode(stream.getvalue()).decode()}  # fmt: skip
    (tmp_path / "x.json").write_text(json.dumps({"shapes": [shape]}))
    with memory_below(30), refused(FormatError, "9000 x 9000", file="x.json"):
        read_labelme(tmp_path / "x.json", SIZE)

"""Detectors compared with an oracle: every pixel tells its position, so that each cell is known.

The image has two channels, a pixel's row and its column. Both are linear, so that enlarging keeps
them, and they follow flips and mirrored margins: the oracle reads the truth from a tile alone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from bigkingxxl.candidates import Candidates
from bigkingxxl.errors import ImageError
from bigkingxxl.geometry import Window
from bigkingxxl.images import ArrayImage, Float32, Normalisation, measure
from bigkingxxl.inference.detector_predictor import DetectorPredictor
from bigkingxxl.inference.selection import soft_areas
from bigkingxxl.inference.size.scale_ratio import TrainingImages
from bigkingxxl.inference.stitching import overlapping
from bigkingxxl.model_card import PredictionSettings
from tests.refusals import refused

LabelMap = NDArray[np.int32]
SIZE = (520, 704)
TILE, OVERLAP = 281, 52  # image pixels: three rows of 208, three columns
LINEAR = Normalisation(limit=1e9)  # nothing is clipped, so that the oracle can undo it
TYPES = ("a", "b")
VIEWS = {1: "none", 2: "mirror", 4: "flips", 8: "flips,turns"}


def places(size: tuple[int, int]) -> ArrayImage:
    """The image of two channels."""
    return ArrayImage(np.indices(size, np.float32))


class Oracle:
    """Detects the truth, as far as a tile contains it.

    Args:
        apart: Each connected part of a cell in the tile is a candidate of its own.
    """

    def __init__(self, label_map: LabelMap, apart: bool = False) -> None:
        self.label_map, self.apart = label_map, apart
        self.shapes: list[tuple[int, ...]] = []
        statistics = places(label_map.shape[:2]).statistics
        self.middle = statistics.percentile(50.0)[:, None, None]
        spread = statistics.percentile(LINEAR.high) - statistics.percentile(LINEAR.low)
        self.spread = spread[:, None, None] / 2

    def __call__(self, tiles: Float32) -> list[Candidates]:
        self.shapes.append(tiles.shape)
        return [self.candidates(self.truth(tile)) for tile in tiles]

    def truth(self, tile: Float32) -> LabelMap:
        """The label of each pixel."""
        row, col = np.rint(tile * self.spread + self.middle).astype(int)
        labels: LabelMap = self.label_map[row, col]
        return labels

    def candidates(self, labels: LabelMap) -> Candidates:
        if self.apart:
            labels = parts_of(labels)
        labels = renumbered(labels)
        count = int(labels.max(initial=0))
        return Candidates.from_label_map(
            labels, (labels > 0).astype(np.float32), np.full(count, 0.9, np.float32),
            np.tile(np.array([0.25, 0.75], np.float32), (count, 1)), TYPES,
        )  # fmt: skip


def parts_of(labels: LabelMap) -> LabelMap:
    """The connected parts of all labels, each with a number of its own."""
    apart, total = np.zeros_like(labels), 0
    for label, box in enumerate(ndimage.find_objects(labels), 1):
        if box is not None:
            parts, count = ndimage.label(labels[box] == label)
            apart[box] += np.where(parts > 0, parts + total, 0).astype(np.int32)
            total += count
    return apart


def renumbered(labels: LabelMap) -> LabelMap:
    found = np.unique(np.append(labels, 0), return_inverse=True)[1][:-1]
    return found.reshape(labels.shape).astype(np.int32)


def predictor(
    detect: Callable[[Float32], list[Candidates]],
    enlargement: float = 1.0,
    settings: Mapping[str, Any] | None = None,
    **options: Any,
) -> DetectorPredictor:
    """A predictor with tiles of `TILE` and an overlap of `OVERLAP` image pixels."""
    tile, overlap = round(TILE * enlargement), round(OVERLAP * enlargement)
    own = {"scale": enlargement, "tile": tile, "overlap": overlap, **(settings or {})}
    return DetectorPredictor(
        detect, type_names=TYPES, normalisation=LINEAR,
        settings=PredictionSettings.model_validate(own), **options,
    )  # fmt: skip


def likeness(found: Candidates, label_map: LabelMap) -> list[tuple[int, float]]:
    """For each candidate, the true cell that it covers most, and their IoU."""
    areas = np.bincount(label_map.ravel())
    result = []
    for index, (row0, col0, row1, col1) in enumerate(found.boxes.tolist()):
        mask = found.crop(index) > 127
        common = np.bincount(label_map[row0:row1, col0:col1][mask], minlength=2)
        cell = int(common[1:].argmax()) + 1
        union = mask.sum() + areas[cell] - common[cell]
        result.append((cell, float(common[cell] / union)))
    return result


def assert_each_once(found: Candidates, label_map: LabelMap, iou: float = 0.95) -> None:
    """Every true cell is present once, well outlined, and nothing else."""
    alike = likeness(found, label_map)
    assert min((each for _, each in alike), default=1.0) >= iou
    assert sorted(cell for cell, _ in alike) == np.unique(label_map[label_map > 0]).tolist()


# ---- fields --------------------------------------------------------------------------------------


def blobs(size: tuple[int, int], count: int, radius: float, seed: int = 0) -> LabelMap:
    """Discs that are round where free and straight where they touch: a dense field."""
    rng = np.random.default_rng(seed)
    spacing = (size[0] * size[1] / count) ** 0.5
    rows, cols = np.mgrid[spacing / 2 : size[0] : spacing, spacing / 2 : size[1] : spacing]
    seeds = np.stack((rows.ravel(), cols.ravel()), axis=1)
    seeds += rng.uniform(-0.3, 0.3, seeds.shape) * spacing
    pixels = np.indices(size).reshape(2, -1).T
    distance, nearest = cKDTree(seeds).query(pixels)
    return renumbered(np.where(distance < radius, nearest + 1, 0).reshape(size).astype(np.int32))


def rods(size: tuple[int, int]) -> LabelMap:
    """Cells longer than any overlap, most of them longer than a window."""
    field = np.zeros(size, np.int32)
    row, col = np.mgrid[: size[0], : size[1]]
    for number, angle in enumerate(np.linspace(0, np.pi, 9)[:-1], 1):
        along = (row - 260) * np.sin(angle) + (col - 352) * np.cos(angle)
        across = (col - 352) * np.sin(angle) - (row - 260) * np.cos(angle)
        field[(np.abs(across) < 6) & (along > 30) & (along < 240)] = number
    field[8:20, 10:690], field[500:512, 100:400], field[40:480, 8:19] = 20, 21, 22
    return renumbered(field)


def corners(size: tuple[int, int]) -> LabelMap:
    """A cell at each point where four windows meet, and one that all nine share."""
    field = np.zeros(size, np.int32)
    row, col = np.mgrid[: size[0], : size[1]]
    windows = predictor(Oracle(field)).layout(size, 1.0).windows
    assert len(windows) == 9
    middles = []
    for axis in (0, 1):
        first, second, third = sorted({(each[axis], each[axis + 2]) for each in windows})
        middles.append([(first[1] + second[0]) / 2, (second[1] + third[0]) / 2])
    number = 0
    for r in middles[0]:
        for c in middles[1]:
            for shift in (-24, 0, 24):
                number += 1
                field[np.hypot(row - r - shift, col - c - shift) < 14] = number
    ring = np.hypot(row - 260, (col - 352) * 0.75)
    field[(ring > 235) & (ring < 245) & (field == 0)] = number + 1
    return field


FIELDS: dict[str, Callable[[], LabelMap]] = {
    "sparse": lambda: blobs(SIZE, 120, 13),
    "dense": lambda: blobs(SIZE, 800, 12),
    "large": lambda: blobs(SIZE, 12, 90),
    "rods": lambda: rods(SIZE),
    "corners": lambda: corners(SIZE),
}


@cache
def field_of(name: str) -> LabelMap:
    return FIELDS[name]()


# ---- stitching -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "scale", "stride"),
    [(name, *statistics) for name in FIELDS for statistics in ((1.0, 1), (2.0, 32))]
    + [("dense", 2.85, 32), ("rods", 2.85, 1)],
)
def test_every_cell_is_found_once(name: str, scale: float, stride: int) -> None:
    field = field_of(name)
    oracle = Oracle(field)
    found = predictor(oracle, scale, stride=stride).candidates(places(SIZE))
    assert (found.size, found.type_names, found.scale_ratio) == (SIZE, TYPES, 1)
    assert_each_once(found, field)
    np.testing.assert_allclose(np.asarray(found.type_probability)[:, 1], 0.75, atol=1e-6)
    np.testing.assert_allclose(found.score, 0.9, atol=1e-6)


@pytest.mark.parametrize(("name", "scale"), [("rods", 1.0), ("corners", 1.0), ("corners", 2.0)])
def test_a_cell_with_several_parts_in_a_window_is_found_once(name: str, scale: float) -> None:
    field = field_of(name)
    assert_each_once(predictor(Oracle(field, apart=True), scale).candidates(places(SIZE)), field)


class Cluttered(Oracle):
    """Detects the truth, and the false candidates of low score that detectors also give.

    These are cells moved by a few pixels, parts of cells, and neighbours as one, each with its own
    score.
    """

    def candidates(self, labels: LabelMap) -> Candidates:
        true, labels = super().candidates(labels), renumbered(labels)
        stripes = np.arange(labels.shape[1]) // 9 % 2
        less = [
            true.shift(0, 3, true.size), true.shift(2, -2, true.size),
            super().candidates(labels * stripes), super().candidates((labels + 1) // 2),
            super().candidates(labels // 2),
        ]  # fmt: skip
        rng = np.random.default_rng(len(true))
        return Candidates.concatenate([true, *(
            replace(each, score=rng.uniform(0.05, 0.4, len(each)).astype(np.float32))
            for each in less
        )])  # fmt: skip


@pytest.mark.parametrize("name", ["large", "rods", "corners"])
def test_low_scores_do_not_affect_confident_cells(name: str) -> None:
    field = field_of(name)
    found = predictor(Cluttered(field)).candidates(places(SIZE))
    assert_each_once(found.take(found.score > 0.6), field)


class Shy(Oracle):
    """Misses what lies within two pixels of a tile's edge, as boxes may end too early."""

    def candidates(self, labels: LabelMap) -> Candidates:
        return super().candidates(np.pad(labels[2:-2, 2:-2], 2))


@pytest.mark.parametrize("name", ["large", "rods", "corners"])
def test_pieces_that_end_before_the_edge_are_joined(name: str) -> None:
    field = field_of(name)
    inner = np.pad(field[2:-2, 2:-2], 2)  # nobody shows the image's own border
    assert_each_once(predictor(Shy(field)).candidates(places(SIZE)), inner)


# ---- windows -------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1.0, 2.0, 4.0])
def test_windows_are_few_and_even(scale: float) -> None:
    windows, tile = predictor(Oracle(np.zeros(SIZE, np.int32)), scale, stride=2).layout(SIZE, 1.0)
    assert tile == (round(208 * scale), round(270 * scale))
    assert windows[0] == Window(0, 0, 208, 270)
    assert windows[4] == Window(156, 217, 364, 487)
    assert windows[8] == Window(312, 434, 520, 704)


@pytest.mark.parametrize("size", [(7, 5), (33, 47), (131, 222), (282, 60), (321, 503)])
@pytest.mark.parametrize(("scale", "stride"), [(1.0, 1), (2.85, 32), (0.6, 8)])
def test_images_of_any_size(size: tuple[int, int], scale: float, stride: int) -> None:
    field = blobs(size, max(size[0] * size[1] // 1600, 1), 19)
    oracle = Oracle(field)
    found = predictor(oracle, scale, stride=stride).candidates(places(size))
    assert found.size == size
    if scale < 1:  # coarse predictions may leave slivers of a network pixel at a seam
        found = found.take(soft_areas(found) > 20)
    assert_each_once(found, field, 0.95 if scale >= 1 else 0.85)
    assert len({shape[2:] for shape in oracle.shapes}) == 1
    assert all(side % stride == 0 for side in oracle.shapes[0][2:])
    largest = -(-round(TILE * scale) // stride) * stride
    assert all(side <= largest for side in oracle.shapes[0][2:])


class Watched(ArrayImage):
    """Records how many pixels are requested at once; its statistics are known beforehand."""

    largest = 0

    def read_raw(self, window: Window) -> Float32:
        self.largest = max(self.largest, window.size[0] * window.size[1])
        return super().read_raw(window)


@pytest.mark.parametrize("batch", [1, 4, 7])
@pytest.mark.parametrize("flips", [1, 2])
def test_at_most_one_batch_of_tiles_is_in_memory(batch: int, flips: int) -> None:
    field = field_of("sparse")
    image = Watched(places(SIZE).pixels)
    image.statistics = measure(image.pixels)
    oracle = Oracle(field)
    settings = {"batch_size": batch, "tta": VIEWS[flips], "tile": 160, "overlap": 40}
    assert_each_once(predictor(oracle, settings=settings).candidates(image), field)
    assert 0 < image.largest <= 160**2
    counts = [shape[0] for shape in oracle.shapes]
    assert sum(counts) == 4 * 6 * flips
    assert all(count == batch for count in counts[:-1])
    assert counts[-1] <= batch


@pytest.mark.parametrize("scale", [0.01, 0.1])
def test_a_window_of_a_small_scale_is_no_larger_than_a_block(scale: float) -> None:
    image = Watched(places((400, 600)).pixels)
    image.statistics = measure(image.pixels)
    found = predictor(Oracle(np.zeros((400, 600), np.int32)), scale, block_pixels=200**2,
                      settings={"tile": 281, "overlap": 20})  # fmt: skip
    found.candidates(image)
    assert 0 < image.largest <= 300**2


@pytest.mark.parametrize("seed", range(5))
def test_all_pairs_of_windows_that_share_pixels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    low = rng.integers(0, 40, (30, 2))
    windows = [Window(*each) for each in np.hstack((low, low + rng.integers(1, 20, (30, 2))))]
    canvas = np.zeros((30, 60, 60), bool)
    for layer, window in zip(canvas, windows, strict=True):
        layer[window.slices] = True
    expected = {
        (i, j): (canvas[i] & canvas[j]).tobytes()
        for i in range(30) for j in range(i) if (canvas[i] & canvas[j]).any()
    }  # fmt: skip
    found = {}
    for one, two, common in overlapping(windows):
        shared = np.zeros((60, 60), bool)
        shared[common.slices] = True
        found[max(one, two), min(one, two)] = shared.tobytes()
    assert found == expected


# ---- flips ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "scale"), [("dense", 1.0), ("rods", 1.0), ("corners", 1.5)])
@pytest.mark.parametrize("flips", [2, 4, 8])
def test_flips_double_no_cell(name: str, scale: float, flips: int) -> None:
    field = field_of(name)
    oracle = Oracle(field)
    found = predictor(oracle, scale, {"tta": VIEWS[flips]}).candidates(places(SIZE))
    assert_each_once(found, field)
    np.testing.assert_allclose(found.score, 0.9, atol=1e-6)
    assert sum(shape[0] for shape in oracle.shapes) == 9 * flips


@pytest.mark.parametrize("size", [(300, 420), (37, 300), (1, 60), (60, 1)])
@pytest.mark.parametrize("tta", ["turns", "scales", "flips,turns,scales"])
def test_turns_and_scales_double_no_cell(size: tuple[int, int], tta: str) -> None:
    field = np.zeros(size, np.int32)
    for number, (row, col) in enumerate(np.ndindex(*(-(-side // 40) for side in size)), 1):
        field[row * 40 : row * 40 + 25, col * 40 : col * 40 + 30] = number
    plain = predictor(Oracle(field)).candidates(places(size))
    found = predictor(Oracle(field), settings={"tta": tta}).candidates(places(size))
    assert found.size == size
    assert len(found) == len(plain) == field.max()
    assert found.scale_ratio == plain.scale_ratio
    np.testing.assert_allclose(found.score, 0.9, atol=1e-6)
    for one, other in zip(np.sort(found.boxes, axis=0), np.sort(plain.boxes, axis=0), strict=True):
        np.testing.assert_allclose(one, other, atol=2)


def test_a_cell_found_at_one_scale_only_scores_lower() -> None:
    field = blobs((120, 150), 12, 11)

    class Large(Oracle):
        def __call__(self, tiles: Float32) -> list[Candidates]:
            return [each if tiles.shape[3] > 150 else each.take([])
                    for each in super().__call__(tiles)]  # fmt: skip

    found = predictor(Large(field), settings={"tta": "scales"}).candidates(places((120, 150)))
    np.testing.assert_allclose(found.score, 0.3, atol=1e-6)


def test_a_cell_found_in_one_flip_only_scores_lower() -> None:
    field = blobs((120, 150), 12, 11)

    class Upright(Oracle):
        def truth(self, tile: Float32) -> LabelMap:
            labels = super().truth(tile)
            return labels if tile[1, 0, -1] > tile[1, 0, 0] else np.where(labels == 1, 0, labels)

    found = predictor(Upright(field), settings={"tta": "mirror"}).candidates(places((120, 150)))
    assert_each_once(found, field)
    scores = {cell: found.score[i] for i, (cell, _) in enumerate(likeness(found, field))}
    assert scores[1] == pytest.approx(0.45)
    assert scores[2] == pytest.approx(0.9)


# ---- sizes, refusals, warnings -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("own", "chosen", "scale"), [(None, None, 2.0), ((1.0, 1.0), None, 1.0), (None, 1.5, 1.5)]
)
def test_the_scale_follows_what_is_known(own: Any, chosen: float | None, scale: float) -> None:
    field = blobs((200, 300), 20, 20)
    image = places((200, 300))
    image.pixel_size_um = own
    settings = {"scale": 2.0, "tile": 300, "overlap": 100}
    training = TrainingImages((2.0, 2.0))
    oracle = Oracle(field)
    seen = predictor(oracle, settings=settings, scale=chosen, training=training)
    found = seen.candidates(image)
    assert found.scale_ratio == pytest.approx(scale / 2)
    assert seen.scale_ratio(image) == pytest.approx(scale / 2)
    assert seen.scale_of(found) == pytest.approx(scale)
    assert_each_once(found, field)


@pytest.mark.parametrize("value", [0.0, 7.0, np.nan])
def test_blank_images_have_no_cells(value: float) -> None:
    def never(tiles: Float32) -> list[Candidates]:
        raise AssertionError("a blank image needs no network")

    found = predictor(never).candidates(ArrayImage(np.full((40, 50), value, np.float32)))
    assert (len(found), found.size, found.type_names) == (0, (40, 50), TYPES)


def test_an_image_of_other_channels_is_refused() -> None:
    image = ArrayImage(np.random.default_rng(0).random((2, 20, 20)), "two.tif")
    detect = Oracle(np.zeros((20, 20), np.int32))
    with refused(ImageError, "two.tif", "--channel 0", key="channels", found=2, expected=1):
        predictor(detect, image_channels=1).candidates(image)


@pytest.mark.parametrize("flips", [1, 2])
@pytest.mark.parametrize("diameter", [None, 20.0])
def test_more_cells_than_the_limit_are_warned_of_once(
    flips: int, diameter: float | None, caplog: pytest.LogCaptureFixture
) -> None:
    training = TrainingImages(median_diameter=diameter)
    field = field_of("sparse")
    most = max(
        len(np.unique(field[window.slices])) - 1
        for window in predictor(Oracle(field)).layout(SIZE, 1.0).windows
    )
    image = places(SIZE)
    image.name = "crowd.png"
    for limit, warned in ((None, 0), (most + 1, 0), (most, 1)):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            seen = predictor(
                Oracle(field), settings={"tta": VIEWS[flips]}, limit=limit, training=training
            )
            seen.candidates(image)
        assert len(caplog.messages) == warned
        seen.candidates_in(image, seen.image_context(image))
        assert len(caplog.messages) == warned
    assert "crowd.png: more cells than the detection limit" in caplog.messages[0]
    assert f" {most} in one of its windows" in caplog.messages[0]

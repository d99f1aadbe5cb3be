"""Exact scores of `select` without pixels: areas and overlaps are counted once, then only summed.

At one mask threshold the candidates of an image and its annotated cells cut the image into atoms,
sets of pixels that the same candidates and the same true cells cover. Whatever the other parameters
are, an atom goes as a whole to the surest candidate left that covers it: painting is a choice for
each atom, and areas and overlaps of painted cells are sums over atoms. Most pixels lie under one
candidate alone; they are summed up beforehand, and only contested atoms are decided anew for each
setting.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bigkingxxl import rle
from bigkingxxl.candidates import Candidates
from bigkingxxl.evaluation.ranking import THRESHOLDS_PERCENT
from bigkingxxl.inference.selection import masks_above
from bigkingxxl.instances import Instances
from bigkingxxl.operating_points import SelectionParameters
from bigkingxxl.overlaps import overlaps, overlaps_among

Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]
LEVELS = len(THRESHOLDS_PERCENT)


class _Contested(NamedTuple):
    """Atoms under two candidates or more.

    Attributes:
        pixels: int64[A], of each atom; starts, stops: int64[A], its entries.
        entries: int64[E], the candidates that cover each atom, the surest first.
        row_starts, row_counts: int64[E], the rows of each entry; row_pair: int64[R], the pairs that
            share the atom where this entry gets it.
    """

    pixels: Int64
    starts: Int64
    stops: Int64
    entries: Int64
    row_starts: Int64
    row_counts: Int64
    row_pair: Int64


@dataclass(frozen=True, eq=False)
class ThresholdScorer:
    """Candidates of N under one mask threshold, in the order of falling score, and T true cells.

    Attributes:
        image, score, area: int64[N], float32[N], int64[N].
        own_area: int64[N], pixels that no other candidate covers.
        first, second, iou: int64[C], int64[C], float64[C], candidates that overlap, surer first.
        pair_cell, pair_truth, pair_pixels: int64[K], pairs that may hit, and the uncontested
            pixels they share.
        truth_image, truth_area: int64[T].
        contested: see `_Contested`.
        squared_size: float64[I], square pixels of the training images a square pixel.
    """

    image: Int64
    score: NDArray[np.float32]
    area: Int64
    own_area: Int64
    first: Int64
    second: Int64
    iou: Float64
    pair_cell: Int64
    pair_truth: Int64
    pair_pixels: Int64
    truth_image: Int64
    truth_area: Int64
    contested: _Contested
    squared_size: Float64

    @classmethod
    def of_image(
        cls, candidates: Candidates, truth: Instances, mask_threshold: float
    ) -> ThresholdScorer:
        """The table of one image.

        Raises:
            ValueError: candidates and truth belong to images of different sizes.
        """
        candidates = candidates.take(candidates.ranking())
        masks = masks_above(candidates, np.full(len(candidates), mask_threshold))
        truth = truth.take(truth.areas() > 0)
        area, truth_area = masks.areas(), truth.areas()
        first, second, shared = overlaps_among(masks)
        met = overlaps(masks, truth)
        # A hit covers more than half of the true cell: no other pair can ever be one.
        some = 2 * met.pixels > truth_area[met.second]
        pair_cell, pair_truth = met.first[some], met.second[some]
        pixels = _Pixels(masks, truth)
        keys = pair_cell * max(len(truth), 1) + pair_truth
        return cls(
            np.zeros(len(masks), np.int64), candidates.score, area, pixels.own_area(),
            first, second, shared / (area[first] + area[second] - shared),
            pair_cell, pair_truth, pixels.own_overlaps(keys),
            np.zeros(len(truth), np.int64), truth_area, pixels.contested(keys),
            np.array([candidates.scale_ratio**2]),
        )  # fmt: skip

    @classmethod
    def joined(cls, tables: Sequence[ThresholdScorer]) -> ThresholdScorer:
        """One table of several: every number in it counts on from the table before."""

        def put(name: str, counted: str | None = None) -> Any:
            arrays = [getattr(table, name) for table in tables]
            if counted is None:
                return np.concatenate(arrays)
            return _counted_on(arrays, [len(getattr(table, counted)) for table in tables])

        parts = [table.contested for table in tables]
        cells = [len(table.image) for table in tables]
        entries = [len(part.entries) for part in parts]
        contested = _Contested(
            np.concatenate([part.pixels for part in parts]),
            _counted_on([part.starts for part in parts], entries),
            _counted_on([part.stops for part in parts], entries),
            _counted_on([part.entries for part in parts], cells),
            _counted_on([part.row_starts for part in parts], [len(p.row_pair) for p in parts]),
            np.concatenate([part.row_counts for part in parts]),
            _counted_on([part.row_pair for part in parts], [len(t.pair_cell) for t in tables]),
        )
        return cls(
            put("image", "squared_size"), put("score"), put("area"), put("own_area"),
            put("first", "image"), put("second", "image"), put("iou"),
            put("pair_cell", "image"), put("pair_truth", "truth_image"), put("pair_pixels"),
            put("truth_image", "squared_size"), put("truth_area"), contested, put("squared_size"),
        )  # fmt: skip

    def scores(self, parameters: SelectionParameters) -> Float64:
        """float64[I]: what `match_counts(truth, select(...)).score` is for each image.

        The parameters' mask threshold is not looked at: it is the table's.
        """
        least = np.maximum(parameters.minimum_area / self.squared_size, 1)[self.image]
        sure = self.score >= np.float32(parameters.score_threshold)
        kept = sure & (self.area >= least)
        hit = (self.iou > parameters.nms_iou) & kept[self.first] & kept[self.second]
        if hit.any():
            _suppress(kept, self.first[hit], self.second[hit])
        area, shared = self._painted(kept, sure)
        kept &= area >= least
        union = area[self.pair_cell] + self.truth_area[self.pair_truth] - shared
        # The number of thresholds 50, 55 ... 95 % that lie strictly below shared / union.
        level = -(-20 * shared // np.maximum(union, 1)) - 10
        level = np.where(kept[self.pair_cell], np.clip(level, 0, LEVELS), 0)
        images = len(self.squared_size)
        found = _hits(level, self.pair_truth, self.truth_image, images)
        right = _hits(level, self.pair_cell, self.image, images)
        cells = np.bincount(self.image[kept], minlength=images)
        true_cells = np.bincount(self.truth_image, minlength=images)
        total = true_cells + cells - right
        result: Float64 = np.where(total == 0, 1.0, found / np.maximum(total, 1)).mean(axis=0)
        return result

    def _painted(self, kept: NDArray[np.bool_], sure: NDArray[np.bool_]) -> tuple[Int64, Int64]:
        """Areas int64[N] and shared pixels int64[K] once each atom has gone to its surest cell.

        Args:
            kept: bool[N], the cells that are painted; sure: bool[N], those above the threshold, so
                that nothing after one that is not can be painted.
        """
        part = self.contested
        atom, place = self._won(kept, sure)
        if not len(atom):
            return self.own_area, self.pair_pixels
        pixels = part.pixels[atom]
        gains = np.bincount(part.entries[place], pixels, len(self.own_area))
        counts = part.row_counts[place]
        pairs = part.row_pair[rle.expand(part.row_starts[place], counts)]
        more = np.bincount(pairs, np.repeat(pixels, counts), len(self.pair_pixels))
        return self.own_area + gains.astype(np.int64), self.pair_pixels + more.astype(np.int64)

    def _won(self, kept: NDArray[np.bool_], sure: NDArray[np.bool_]) -> tuple[Int64, Int64]:
        """The atoms that somebody gets, and the entries that get them."""
        part = self.contested
        atom, place = np.arange(len(part.pixels)), part.starts
        atoms, places = [atom[:0]], [place[:0]]
        while len(atom):
            cell = part.entries[place]
            won = kept[cell]
            atoms.append(atom[won])
            places.append(place[won])
            lost = np.flatnonzero(sure[cell] & ~won)
            atom, place = atom[lost], place[lost] + 1
            more = place < part.stops[atom]
            atom, place = atom[more], place[more]
        return np.concatenate(atoms), np.concatenate(places)


def _counted_on(arrays: Sequence[Int64], lengths: Sequence[int]) -> Int64:
    before = np.cumsum([0, *lengths[:-1]])
    return np.concatenate([array + base for array, base in zip(arrays, before, strict=True)])


def _suppress(kept: NDArray[np.bool_], first: Int64, second: Int64) -> None:
    """Mask NMS in place: `second` goes where `first`, which is surer, stays; in rounds, not pairs.

    Every round settles the cells that no unsettled surer one collides with.
    """
    while len(first):
        threatened = np.zeros(len(kept), bool)
        threatened[second] = True
        sure = ~threatened[first]
        kept[second[sure]] = False
        some = kept[first] & kept[second]
        first, second = first[some], second[some]


def _hits(level: Int64, cell: Int64, image: Int64, images: int) -> Int64:
    """int64[10, I]: how many cells of each image are hit at each threshold.

    Args:
        level: int64[K], how many thresholds each pair passes; cell: int64[K], its cell.
        image: int64[N], the image of each cell.
    """
    some = level > 0
    passed = np.zeros(len(image), np.int64)
    np.maximum.at(passed, cell[some], level[some])
    counts = np.bincount(image * (LEVELS + 1) + passed, minlength=images * (LEVELS + 1))
    counts = counts.reshape(images, LEVELS + 1)[:, ::-1].cumsum(axis=1)[:, ::-1]
    return np.ascontiguousarray(counts[:, 1:].T)


class _Pixels:
    """The covered pixels of one image, pixel by pixel: what the tables are counted from."""

    def __init__(self, masks: Instances, truth: Instances) -> None:
        self.masks, self.truth = masks, truth
        self.owner, self.flat = _by_pixel(masks)
        starts = np.flatnonzero(np.diff(self.flat, prepend=-1))
        counts = np.diff(np.append(starts, len(self.flat)))
        self.single = starts[counts == 1]
        self.starts, self.counts = starts[counts > 1], counts[counts > 1]

    def own_area(self) -> Int64:
        """int64[N]: pixels that one candidate alone covers."""
        return np.bincount(self.owner[self.single], minlength=len(self.masks))

    def own_overlaps(self, keys: Int64) -> Int64:
        """int64[K]: how many of these each pair shares.

        Args:
            keys: int64[K], candidate * T + true cell of each pair, sorted.
        """
        alone = Instances.from_pixels(
            self.owner[self.single], self.flat[self.single], len(self.masks), self.masks.size
        )
        met = overlaps(alone, self.truth)
        place, known = _find(keys, met.first * max(len(self.truth), 1) + met.second)
        result = np.zeros(len(keys), np.int64)
        result[place[known]] = met.pixels[known]
        return result

    def contested(self, keys: Int64) -> _Contested:
        """The other pixels, gathered into atoms."""
        if not len(self.starts):
            return _Contested(*[np.zeros(0, np.int64)] * 7)
        truth_owner, truth_flat = _by_pixel(self.truth)
        names = np.random.default_rng(0).integers(
            2**64, size=len(self.masks) + len(self.truth), dtype=np.uint64
        )
        # Sums of random 64-bit names: pixels under the same cells have the same sum, and no others.
        covered = rle.expand(self.starts, self.counts)
        sums = np.add.reduceat(names[self.owner[covered]], rle.split_points(self.counts)[:-1])
        of_truth = np.zeros(self.masks.size[0] * self.masks.size[1], np.uint64)
        np.add.at(of_truth, truth_flat, names[len(self.masks) + truth_owner])
        sums += of_truth[self.flat[self.starts]]
        _, sample, pixels = np.unique(sums, return_index=True, return_counts=True)
        starts, counts = self.starts[sample], self.counts[sample]
        entries = self.owner[rle.expand(starts, counts)]
        flat = self.flat[starts]
        low = np.searchsorted(truth_flat, flat, "left")
        true_counts = np.searchsorted(truth_flat, flat, "right") - low
        # Every candidate of an atom with every true cell of it.
        atom = np.repeat(np.arange(len(sample)), counts)
        row_entry = np.repeat(np.arange(len(entries)), true_counts[atom])
        row_truth = truth_owner[rle.expand(low[atom], true_counts[atom])]
        row_key = entries[row_entry] * max(len(self.truth), 1) + row_truth
        row_pair, known = _find(keys, row_key)
        splits = rle.split_points(counts)
        rows = np.bincount(row_entry[known], minlength=len(entries))
        return _Contested(
            pixels, splits[:-1], splits[1:], entries,
            rle.split_points(rows)[:-1], rows, row_pair[known],
        )  # fmt: skip


def _by_pixel(cells: Instances) -> tuple[Int64, Int64]:
    """Cell and flat position of every pixel, sorted by position, then cell."""
    owner, flat = cells.pixels()
    order = np.argsort(flat, kind="stable")
    return owner[order], flat[order]


def _find(keys: Int64, wanted: Int64) -> tuple[Int64, NDArray[np.bool_]]:
    """Where each wanted key stands among sorted keys, and whether it does."""
    if not len(keys):
        return np.zeros(len(wanted), np.int64), np.zeros(len(wanted), bool)
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return place, keys[place] == wanted

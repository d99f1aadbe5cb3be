"""Exact scores of `select` without pixels: areas and overlaps are counted once, then only summed.

At one mask threshold, the candidates and the annotated cells of an image divide it into atoms: sets
of pixels that are covered by the same candidates and the same annotated cells. Whatever the other
parameters are, all pixels of an atom go to the best remaining candidate that covers it. Painting is
therefore a choice per atom, and areas and overlaps of painted cells are sums over atoms. Most
pixels are covered by one candidate only and are summed up beforehand; only contested atoms are
decided again for each setting.
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
    """The atoms that two or more candidates cover.

    Attributes:
        pixels: int64[A], the number of pixels of each atom.
        starts: int64[A], the start of each atom's entries.
        stops: int64[A], the end of each atom's entries.
        entries: int64[E], the candidates that cover each atom by descending score.
        row_starts: int64[E], the start of each entry's rows.
        row_counts: int64[E], the number of each entry's rows.
        row_pair: int64[R], the pairs that share the atom if this entry wins it.
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
    """N candidates at one mask threshold by descending score, and T annotated cells.

    Attributes:
        image: int64[N], the image of each candidate.
        score: float32[N].
        area: int64[N], in pixels.
        own_area: int64[N], the pixels that no other candidate covers.
        first: int64[C], of each overlapping pair, the candidate with the higher score.
        second: int64[C], the other candidate.
        iou: float64[C].
        pair_cell: int64[K], the candidate of each pair that may be a hit.
        pair_truth: int64[K], the annotated cell of each such pair.
        pair_pixels: int64[K], the uncontested pixels that they share.
        truth_image: int64[T], the image of each annotated cell.
        truth_area: int64[T], in pixels.
        contested: See `_Contested`.
        squared_size: float64[I], square pixels of the training images per square pixel.
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
        """Create the table of one image.

        Raises:
            ValueError: The images of candidates and truth differ in size.
        """
        candidates = candidates.take(candidates.ranking())
        masks = masks_above(candidates, np.full(len(candidates), mask_threshold))
        truth = truth.take(truth.areas() > 0)
        area, truth_area = masks.areas(), truth.areas()
        first, second, shared = overlaps_among(masks)
        met = overlaps(masks, truth)
        # A hit covers more than half of the annotated cell, so no other pair can be a hit.
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
        """Concatenate several tables; all indices are offset by the tables before."""

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
        """Compute `match_counts(truth, select(...)).score` for each image, float64[I].

        The mask threshold of the parameters is ignored; it is that of the table.
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
        # The number of thresholds 50, 55 ... 95 % strictly below shared / union.
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
        """Assign each atom to its best cell; return areas int64[N] and shared pixels int64[K].

        Args:
            kept: bool[N], the cells that are painted.
            sure: bool[N], the cells above the score threshold; after the first other one, none can
                be painted.
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
        """Return the atoms that are assigned, and the entries that win them."""
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
    """Apply mask NMS in place, in rounds: `second` is removed if `first` stays.

    Each round decides the cells that no undecided better cell overlaps.
    """
    while len(first):
        threatened = np.zeros(len(kept), bool)
        threatened[second] = True
        sure = ~threatened[first]
        kept[second[sure]] = False
        some = kept[first] & kept[second]
        first, second = first[some], second[some]


def _hits(level: Int64, cell: Int64, image: Int64, images: int) -> Int64:
    """Count the cells of each image that are hit at each threshold, int64[10, I].

    Args:
        level: int64[K], the number of thresholds that each pair exceeds.
        cell: int64[K], the cell of each pair.
        image: int64[N], the image of each cell.
        images: The number of images.
    """
    some = level > 0
    passed = np.zeros(len(image), np.int64)
    np.maximum.at(passed, cell[some], level[some])
    counts = np.bincount(image * (LEVELS + 1) + passed, minlength=images * (LEVELS + 1))
    counts = counts.reshape(images, LEVELS + 1)[:, ::-1].cumsum(axis=1)[:, ::-1]
    return np.ascontiguousarray(counts[:, 1:].T)


class _Pixels:
    """The covered pixels of one image, from which the tables are computed."""

    def __init__(self, masks: Instances, truth: Instances) -> None:
        self.masks, self.truth = masks, truth
        self.owner, self.flat = _by_pixel(masks)
        starts = np.flatnonzero(np.diff(self.flat, prepend=-1))
        counts = np.diff(np.append(starts, len(self.flat)))
        self.single = starts[counts == 1]
        self.starts, self.counts = starts[counts > 1], counts[counts > 1]

    def own_area(self) -> Int64:
        """Count the pixels that only one candidate covers, int64[N]."""
        return np.bincount(self.owner[self.single], minlength=len(self.masks))

    def own_overlaps(self, keys: Int64) -> Int64:
        """Count those of them that each pair shares, int64[K].

        Args:
            keys: int64[K], candidate * T + annotated cell of each pair, sorted.
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
        """Group the other pixels into atoms."""
        if not len(self.starts):
            return _Contested(*[np.zeros(0, np.int64)] * 7)
        truth_owner, truth_flat = _by_pixel(self.truth)
        names = np.random.default_rng(0).integers(
            2**64, size=len(self.masks) + len(self.truth), dtype=np.uint64
        )
        # Sums of random 64-bit values identify the set of cells that cover a pixel.
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
        # Combine every candidate of an atom with every annotated cell of it.
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
    """Return the cell and flat position of every pixel, sorted by position, then by cell."""
    owner, flat = cells.pixels()
    order = np.argsort(flat, kind="stable")
    return owner[order], flat[order]


def _find(keys: Int64, wanted: Int64) -> tuple[Int64, NDArray[np.bool_]]:
    """Return the index of each wanted key in sorted keys, and whether it is there."""
    if not len(keys):
        return np.zeros(len(wanted), np.int64), np.zeros(len(wanted), bool)
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return place, keys[place] == wanted

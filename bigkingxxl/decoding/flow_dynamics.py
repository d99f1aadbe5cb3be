"""Pixels follow the flows to where their cell gathers, and those that gather there are the cell.

Source: Stringer et al. 2021, Cellpose, as version 3 does it: Euler steps through the flows between
pixels, a histogram of the end points, its peaks as seeds that grow a few pixels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]

# Flows contract: pixels that have come this near to each other end in the same place, and one of
# them leads from there on. Most have met after a dozen steps, so two hundred cost little more.
MEETING_PARTS = 64
MEET_AFTER = (6, 8, 10, 12, 14, 16, 20, 24, 32, 44, 60, 80, 110, 150)
# Near a centre pixels come to rest or step to and fro between two places: the same after any even
# number of steps.
RESTING = 1e-3
POINTS_AT_ONCE = 1 << 15

SEED_POINTS, GROWING_POINTS = 10, 2
SEED_REACH, GROWTH = 2, 5


def end_points(flows: Float32, foreground: NDArray[np.bool_], steps: int) -> Int64:
    """int64[P]: the flat place of the pixel in which each foreground pixel ends.

    Args:
        flows: float32[2, h, w] row and column flow, a pixel long where they are sure; those outside
            the foreground count as 0. foreground: bool[h, w]. steps: how many to take.
    """
    start = np.flatnonzero(foreground)
    width = foreground.shape[1]
    place = np.stack(np.divmod(start, width)).astype(np.float32)
    field = FlowField(flows, foreground)
    leader = np.arange(len(start))
    moving, taken = leader, 0
    odd = steps % 2
    for stage in (*(step + odd for step in MEET_AFTER if step + odd < steps), steps):
        moving = moving[field.advance(place, moving, stage - taken)]
        first = met(place[:, moving])
        leader[moving] = moving[first]
        moving, taken = moving[first == np.arange(len(first))], stage
    while (further := leader[leader]).tobytes() != leader.tobytes():
        leader = further
    whole = place[:, leader].astype(np.int64)
    ends: Int64 = whole[0] * width + whole[1]
    return ends


class FlowField:
    """Flows between pixels, bilinear; what leaves the image stays at its border.

    Args:
        flows: float32[2, h, w]; foreground: bool[h, w], outside of which nothing flows.
    """

    def __init__(self, flows: Float32, foreground: NDArray[np.bool_]) -> None:
        self.size = foreground.shape
        # One more row and column, so that every place has a neighbour below and to the right.
        padded = np.zeros((self.size[0] + 1, self.size[1] + 1, 2), np.float32)
        for axis in (0, 1):
            np.multiply(flows[axis], foreground, out=padded[:-1, :-1, axis])
        self.width = np.int32(self.size[1] + 1)
        # Both components of a pixel's flow as one item, which is fetched at once.
        self.flows = padded.view(np.float64).ravel()
        self.ahead = (0, 1, self.width, self.width + 1)

    def advance(self, place: Float32, chosen: Int64, steps: int) -> NDArray[np.bool_]:
        """Move the chosen points of float32[2, n] on; which of them are not at rest yet."""
        moves = np.zeros(len(chosen), bool)
        for start in range(0, len(chosen), POINTS_AT_ONCE):
            part = chosen[start : start + POINTS_AT_ONCE]
            points = place[:, part]
            self.follow(points, max(steps - 2, 0))
            before = points.copy()
            self.follow(points, min(steps, 2))
            moves[start : start + len(part)] = (np.abs(points - before) > RESTING).any(axis=0)
            place[:, part] = points
        return moves

    def follow(self, place: Float32, steps: int) -> None:
        """Move points float32[2, n] (row, column) by Euler steps, in place."""
        limits = [np.float32(length - 1) for length in self.size]
        fetched = np.empty(place.shape[1])
        flow, moved = fetched.view(np.float32).reshape(-1, 2), np.empty_like(place[0])
        for _ in range(steps):
            # int32 is what processors convert many of at once.
            corner = place.astype(np.int32)
            part = place - corner.astype(np.float32)
            index = (corner[0] * self.width + corner[1]).astype(np.intp)
            both = part[0] * part[1]
            down, right = part[0] - both, part[1] - both
            none = 1 - part[0] - right
            for ahead, weight in zip(self.ahead, (none, right, down, both), strict=True):
                np.take(self.flows[ahead:], index, out=fetched, mode="wrap")
                for axis in (0, 1):
                    np.multiply(flow[:, axis], weight, out=moved)
                    place[axis] += moved
            for axis in (0, 1):
                np.clip(place[axis], np.float32(0), limits[axis], out=place[axis])


def met(place: Float32) -> Int64:
    """int64[n]: for each point the number of one that it has met, its own where it is that one.

    Points that share a slot of the table but not their place stay apart: no harm, just work.
    """
    row, col = np.rint(place * MEETING_PARTS).astype(np.int64)
    key = (row << 32) | col
    size = 1 << max(int(4 * key.size).bit_length(), 4)
    slot = (row * 40503 + col * 7) & (size - 1)
    table = np.empty(size, np.int64)
    own = np.arange(key.size)
    table[slot] = own
    first = table[slot]
    same: Int64 = np.where(key[first] == key, first, own)
    return same


def gathered(ends: Int64, size: tuple[int, int]) -> NDArray[np.int32]:
    """int32[P]: the cell of each point from the flat place of its end; 0 = none.

    More than 10 points in a pixel, and no more within two pixels of it, are a seed. It grows five
    times by a pixel each way over pixels with more than 2 points. Cells with more points in their
    seed have higher numbers and take what several reach.
    """
    margin = GROWTH
    width = size[1] + 2 * margin
    row, col = np.divmod(ends, size[1])
    padded = (row + margin) * width + col + margin
    points = np.bincount(padded, minlength=(size[0] + 2 * margin) * width)
    peak = np.flatnonzero(points > SEED_POINTS)
    around = _square(SEED_REACH, width)
    peak = peak[points[peak] >= points[peak[:, None] + around].max(axis=1, initial=0)]
    peak = peak[np.argsort(points[peak], kind="stable")]
    reach = peak[:, None] + _square(GROWTH, width)
    grown = _grown(points[reach] > GROWING_POINTS)
    cells = np.zeros(points.size, np.int32)
    seed, part = np.nonzero(grown)
    cells[reach[seed, part]] = seed + 1
    found: NDArray[np.int32] = cells[padded]
    return found


def _square(reach: int, width: int) -> Int64:
    """int64[(2 reach + 1) ** 2]: flat offsets of a square's pixels from its middle."""
    steps = np.arange(-reach, reach + 1)
    return (steps[:, None] * width + steps).ravel()


def _grown(allowed: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """bool[K, 121]: what of K squares the middle reaches in five steps over allowed pixels."""
    side = 2 * GROWTH + 1
    room = np.zeros((len(allowed), side + 2, side + 2), bool)
    inside = room[:, 1:-1, 1:-1]
    inside[:, GROWTH, GROWTH] = True
    for _ in range(GROWTH):
        tall = room[:, :-2] | room[:, 1:-1] | room[:, 2:]
        wide = tall[:, :, :-2] | tall[:, :, 1:-1] | tall[:, :, 2:]
        inside[:] = wide & allowed.reshape(-1, side, side)
    return inside.reshape(allowed.shape)

"""Flow dynamics: each pixel follows the flows, and pixels that converge belong to one cell.

Source: Stringer et al. 2021, Cellpose, as in version 3: Euler steps through the interpolated flows,
a histogram of the end points, and its peaks as seeds that grow by a few pixels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]

# Flows converge: pixels that have come this close end at the same position, so one of them is
# followed for all. Most have met after a dozen steps, so that two hundred steps cost little more.
MEETING_PARTS = 64
MEET_AFTER = (6, 8, 10, 12, 14, 16, 20, 24, 32, 44, 60, 80, 110, 150)
# Near a centre, points come to rest or oscillate between two positions: the same after any even
# number of steps.
RESTING = 1e-3
POINTS_AT_ONCE = 1 << 15

SEED_POINTS, GROWING_POINTS = 10, 2
SEED_REACH, GROWTH = 2, 5


def end_points(flows: Float32, foreground: NDArray[np.bool_], steps: int) -> Int64:
    """Follow the flows and return the flat index of each foreground pixel's end point, int64[P].

    Args:
        flows: float32[2, h, w], the row and column components, of length 1 where the network is
            certain; values outside the foreground count as 0.
        foreground: bool[h, w].
        steps: The number of steps.
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
    """Bilinearly interpolated flows; points that leave the image stay at its border.

    Args:
        flows: float32[2, h, w].
        foreground: bool[h, w], outside of which the flows are 0.
    """

    def __init__(self, flows: Float32, foreground: NDArray[np.bool_]) -> None:
        self.size = foreground.shape
        # One extra row and column, so that each position has a neighbour below and to the right.
        padded = np.zeros((self.size[0] + 1, self.size[1] + 1, 2), np.float32)
        for axis in (0, 1):
            np.multiply(flows[axis], foreground, out=padded[:-1, :-1, axis])
        self.width = np.int32(self.size[1] + 1)
        # Both components of a pixel's flow are stored as one item, which is fetched at once.
        self.flows = padded.view(np.float64).ravel()
        self.ahead = (0, 1, self.width, self.width + 1)

    def advance(self, place: Float32, chosen: Int64, steps: int) -> NDArray[np.bool_]:
        """Move the chosen points of float32[2, n]; return which of them are not at rest yet."""
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
            # Processors convert many int32 values at once.
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
    """Return, for each point, the index of a point that it has met, else its own: int64[n].

    Points with the same hash but different positions stay apart, which only costs time.
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
    """Return the cell of each point from the flat index of its end point, int32[P]; 0 = none.

    A pixel with more than 10 points, and the most within two pixels, is a seed. It grows five times
    by one pixel in each direction over pixels with more than 2 points. Cells with more points in
    their seed have higher labels and take pixels that several cells reach.
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
    """Return the flat offsets of a square's pixels from its centre, int64[(2 reach + 1) ** 2]."""
    steps = np.arange(-reach, reach + 1)
    return (steps[:, None] * width + steps).ravel()


def _grown(allowed: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the pixels of K squares that five steps from the centre reach, bool[K, 121]."""
    side = 2 * GROWTH + 1
    room = np.zeros((len(allowed), side + 2, side + 2), bool)
    inside = room[:, 1:-1, 1:-1]
    inside[:, GROWTH, GROWTH] = True
    for _ in range(GROWTH):
        tall = room[:, :-2] | room[:, 1:-1] | room[:, 2:]
        wide = tall[:, :, :-2] | tall[:, :, 1:-1] | tall[:, :, 2:]
        inside[:] = wide & allowed.reshape(-1, side, side)
    return inside.reshape(allowed.shape)

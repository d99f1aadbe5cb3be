"""A tile seen piece by piece: less memory, more time, the same maps."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.errors import InputError

Float32 = NDArray[np.float32]
MapsFunction = Callable[[Float32], Float32]


def in_pieces(
    maps_function: MapsFunction, tiles: Float32, side: int, context: int, stride: int
) -> Float32:
    """float32[B, K, h, w] maps of float32[B, C, h, w] tiles, of which no more is seen at once.

    Each piece is seen with `context` pixels of the tile around it, beyond which nothing changes its
    maps, and begins at a multiple of the stride, so that the network's grid lies where it lay.

    Args:
        side: of what is seen at once, in pixels; `least_side` or more.
    """
    height, width = tiles.shape[2:]
    core = (side - 2 * context) // stride * stride
    result: Float32 | None = None
    for top, bottom, above, below in _pieces(height, core, context):
        for left, right, before, after in _pieces(width, core, context):
            for number in range(len(tiles)):
                seen = maps_function(tiles[number : number + 1, :, above:below, before:after])
                if result is None:
                    result = np.empty((len(tiles), seen.shape[1], height, width), np.float32)
                inner = seen[0, :, top - above : bottom - above, left - before : right - before]
                result[number, :, top:bottom, left:right] = inner
    return np.zeros((0, 0, height, width), np.float32) if result is None else result


def _pieces(length: int, core: int, context: int) -> Iterator[tuple[int, int, int, int]]:
    """Start and stop of each piece of a side, and of what is seen for it."""
    for start in range(0, length, core):
        stop = min(start + core, length)
        yield start, stop, max(start - context, 0), min(stop + context, length)


def least_side(context: int, stride: int) -> int:
    """The smallest side that shows a piece and its context."""
    return 2 * context + 2 * stride


def checked_side(side: int | None, own: int, context: int | None, stride: int) -> int | None:
    """The side of what is seen at once; None where that is the model's own tile.

    Args:
        side: as asked for; own: of the model's tiles; context: see `in_pieces`, None where what a
            network sees of a tile depends on all of it.
    Raises:
        InputError: too small for the model to see the same cells.
    """
    if side is None or side >= own:
        return None
    if context is None or least_side(context, stride) >= own:
        raise InputError(
            f"a tile of {side} is asked for, but this model sees other cells in tiles smaller than "
            f"its own of {own} pixels: leave the tile out"
        )
    least = least_side(context, stride)
    if side < least:
        raise InputError(
            f"a tile of {side} is asked for, expected {least} or more network pixels: in less, "
            "the model sees other cells"
        )
    return side

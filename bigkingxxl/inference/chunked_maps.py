"""Process a tile piece by piece: less memory, more time, identical maps."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.errors import InputError

Float32 = NDArray[np.float32]
MapsFunction = Callable[[Float32], Float32]


def in_chunks(
    maps_function: MapsFunction, tiles: Float32, side: int, context: int, stride: int
) -> Float32:
    """Compute maps float32[B, K, h, w] of tiles float32[B, C, h, w], piece by piece.

    Each piece is processed with `context` pixels around it, beyond which nothing affects its maps.
    It starts at a multiple of the stride, so that the grid of the network is not shifted.

    Args:
        maps_function: Computes maps of tiles.
        tiles: float32[B, C, h, w].
        side: The side of what is processed at once, in pixels; at least `least_side`.
        context: The receptive field around a piece, in pixels.
        stride: The stride of the network.
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
    """Yield the start and stop of each piece of an axis, and of its surroundings."""
    for start in range(0, length, core):
        stop = min(start + core, length)
        yield start, stop, max(start - context, 0), min(stop + context, length)


def least_side(context: int, stride: int) -> int:
    """Return the smallest side that holds a piece and its context."""
    return 2 * context + 2 * stride


def checked_side(side: int | None, own: int, context: int | None, stride: int) -> int | None:
    """Check the side of what is processed at once; None stands for the model's own tile.

    Args:
        side: The requested side.
        own: The side of the model's tiles.
        context: See `in_chunks`; None if the maps depend on the whole tile.
        stride: The stride of the network.

    Raises:
        InputError: The side is too small for an identical result.
    """
    if side is None or side >= own:
        return None
    if context is None or least_side(context, stride) >= own:
        raise InputError(
            f"a tile of {side} is asked for, but this model sees other cells in tiles smaller than "
            f"its own of {own} pixels: leave the tile out",
            key="tile",
            found=side,
            expected=own,
        )
    least = least_side(context, stride)
    if side < least:
        raise InputError(
            f"a tile of {side} is asked for, expected {least} or more network pixels: in less, "
            "the model sees other cells",
            key="tile",
            found=side,
            expected=least,
        )
    return side

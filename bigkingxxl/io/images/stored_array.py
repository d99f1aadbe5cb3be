"""Arrays that a file holds uncompressed, read by window.

They are read and not mapped: a process that touches a mapped file after it was truncated is killed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.errors import ImageError


@dataclass(frozen=True)
class StoredArray:
    """An array of any number of axes in a file.

    Attributes:
        path: The file.
        offset: Where the array starts, in bytes.
        dtype: The type of its values, with their byte order.
        shape: The length of each axis.
        is_fortran: Whether the first axis varies fastest, not the last one.
    """

    path: Path
    offset: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    is_fortran: bool = False

    def read(self, spans: Sequence[tuple[int, int]]) -> NDArray[Any]:
        """Read the values from start to stop on each axis, as far as the array extends.

        Raises:
            ImageError: The file is missing or truncated.
        """
        if self.is_fortran:
            turned = StoredArray(self.path, self.offset, self.dtype, self.shape[::-1])
            return turned.read(list(spans)[::-1]).T
        spans = [
            (start, max(min(stop, side), start))
            for (start, stop), side in zip(spans, self.shape, strict=True)
        ]
        sides = [stop - start for start, stop in spans]
        result: NDArray[Any] = np.empty(sides, self.dtype)
        # Axes that are read completely lie in one piece with the axis before them.
        outer = len(sides) - 1
        while outer > 0 and sides[outer] == self.shape[outer]:
            outer -= 1
        steps = [math.prod(self.shape[axis + 1 :]) for axis in range(len(sides))]
        first = sum(span[0] * step for span, step in zip(spans, steps, strict=True))
        try:
            with self.path.open("rb") as stream:
                for place in np.ndindex(*sides[:outer]):
                    moved = sum(a * b for a, b in zip(place, steps, strict=False))
                    stream.seek(self.offset + (first + moved) * self.dtype.itemsize)
                    piece = result[place]
                    if stream.readinto(piece.view(np.uint8).data) < piece.nbytes:
                        raise ImageError(f"{self.path} is damaged or truncated", file=self.path)
        except OSError as error:
            raise ImageError(
                f"{self.path} cannot be read: {error.strerror}", file=self.path
            ) from error
        return result

"""Parse the numbers of many run-length texts in one pass over their bytes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bigkingxxl import rle

LONGEST = 18  # decimal digits that always fit int64
SPACE, ZERO, NINE = 32, 48, 57


def read_numbers(
    texts: Sequence[str],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Parse the integers of N texts of digits and spaces.

    Returns:
        The numbers of all texts, int64[M]; the bounds, int64[N + 1], where the numbers of each text
        begin; and whether each text is valid, bool[N] (it contains only digits and spaces and no
        number with more than 18 digits; otherwise its numbers are meaningless).
    """
    joined = " ".join([*texts, ""])
    # A character outside ASCII becomes one '?', so that positions are those of the text.
    code = np.frombuffer(joined.encode("ascii", "replace"), np.uint8)
    ends = np.cumsum([len(text) + 1 for text in texts], dtype=np.int64)
    digit = (code >= ZERO) & (code <= NINE)
    odd = np.flatnonzero(~digit & (code != SPACE))
    plain = np.ones(len(texts), bool)
    plain[np.searchsorted(ends, odd, side="right")] = False
    edges = np.flatnonzero(digit[1:] != digit[:-1]) + 1
    if len(digit) and digit[0]:
        edges = np.append(0, edges)
    # A space ends the last text, so that every number has both edges.
    starts, lengths = edges[0::2], edges[1::2] - edges[0::2]
    long = lengths > LONGEST
    plain[np.searchsorted(ends, starts[long], side="right")] = False
    clean = np.where(digit, code, SPACE)
    clean[rle.expand(starts[long], lengths[long])] = ZERO
    # Only digits and spaces remain, so that as many numbers are parsed as there are starts.
    numbers = np.fromstring(clean.tobytes(), np.int64, sep=" ") if len(starts) else starts
    return numbers, np.append(0, np.searchsorted(starts, ends)), plain


def numbers_of(
    numbers: NDArray[np.int64], bounds: NDArray[np.int64], chosen: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Select the numbers of some texts, and how many each of them has."""
    counts = np.diff(bounds)[chosen]
    return numbers[rle.expand(bounds[:-1][chosen], counts)], counts

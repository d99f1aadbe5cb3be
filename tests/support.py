"""Random cells, and slow but obvious reference implementations."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from typer.testing import Result

from bigkingxxl.candidates import Candidates
from bigkingxxl.instances import Instances

Stack = NDArray[np.bool_]


@st.composite
def stacks(draw: st.DrawFn, max_cells: int = 4, max_side: int = 9) -> Stack:
    """bool[N, H, W]: up to `max_cells` masks, which may overlap, have holes or be empty."""
    shape = (
        draw(st.integers(0, max_cells)),
        draw(st.integers(1, max_side)),
        draw(st.integers(1, max_side)),
    )
    return draw(hnp.arrays(np.bool_, shape))


def instances_of(stack: Stack, **fields: Any) -> Instances:
    """The cells of a dense stack bool[N, H, W]."""
    owner, row, col = np.nonzero(stack)
    size = (stack.shape[1], stack.shape[2])
    return Instances.from_pixels(owner, row * size[1] + col, len(stack), size, **fields)


def stack_of(instances: Instances) -> Stack:
    """The dense stack bool[N, H, W] of some cells, run by run."""
    stack = np.zeros((len(instances), *instances.size), bool)
    for cell in range(len(instances)):
        first, last = instances.splits[cell], instances.splits[cell + 1]
        for row, start, stop in instances.runs[first:last]:
            assert 0 <= start < stop <= instances.size[1]
            stack[cell, row, start:stop] = True
    return stack


@st.composite
def candidate_sets(
    draw: st.DrawFn, max_count: int = 4, max_side: int = 9, empty_boxes: bool = False
) -> Candidates:
    """Candidates with random boxes, soft masks, scores and, sometimes, types."""
    size = (draw(st.integers(1, max_side)), draw(st.integers(1, max_side)))
    least = 0 if empty_boxes else 1
    boxes, crops = [], []
    for _ in range(draw(st.integers(0, max_count))):
        height = draw(st.integers(least, size[0]))
        width = draw(st.integers(least, size[1]))
        row = draw(st.integers(0, size[0] - height))
        col = draw(st.integers(0, size[1] - width))
        boxes.append((row, col, row + height, col + width))
        crops.append(draw(hnp.arrays(np.uint8, (height, width))))
    score = draw(hnp.arrays(np.float32, len(boxes), elements=st.floats(0, 1, width=32)))
    types, names = None, tuple[str, ...]()
    if draw(st.booleans()):
        types = draw(hnp.arrays(np.float32, (len(boxes), 2), elements=st.floats(0, 1, width=32)))
        names = ("a", "b")
    return Candidates.from_crops(size, np.array(boxes), crops, score, types, names)


def soft_stack(candidates: Candidates) -> NDArray[np.uint8]:
    """The dense soft masks uint8[N, H, W]."""
    stack = np.zeros((len(candidates), *candidates.size), np.uint8)
    for index, (row0, col0, row1, col1) in enumerate(candidates.boxes):
        stack[index, row0:row1, col0:col1] = candidates.crop(index)
    return stack


def naive_runs(flat: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """(first, length) of each run of a flat mask, pixel by pixel."""
    runs: list[tuple[int, int]] = []
    for position, inside in enumerate(flat.tolist()):
        if not inside:
            continue
        if runs and sum(runs[-1]) == position:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((position, 1))
    return runs


def naive_kaggle(mask: NDArray[np.bool_]) -> str:
    """Kaggle's annotation of one mask: row-major, the first pixel is 1."""
    return " ".join(f"{first + 1} {length}" for first, length in naive_runs(mask.ravel()))


def sentence_of(result: Result) -> str:
    """Return the one line on stderr of a command whose error the user can fix."""
    assert result.exit_code == 2, result.output
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    return lines[0]


@contextmanager
def disk_full_after(count: int) -> Iterator[None]:
    """The operating system writes no file longer than this many bytes; skipped on Windows."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (count, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

"""Dimensionless image statistics, which tell whether an image resembles the training images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.geometry import Window, resize, scaled_size
from bigkingxxl.images import ImageSource, Normalisation

Float32 = NDArray[np.float32]
WINDOW = 512
WINDOWS = 2  # along each axis of a larger image
# pixels of the training images: coarser than cells of one type, finer than uneven shading
BLOCK = 16
MARGIN = 0.25  # fraction of the training range by which it is widened on each side


def image_statistics(
    source: ImageSource, normalisation: Normalisation, ratio: float = 1.0
) -> dict[str, float]:
    """Compute statistics of an image that do not depend on its unit of intensity.

    `contrast` is the standard deviation after normalisation, and `skewness` the third standardised
    moment, which is positive if the bright structures stand out. The others are fractions of the
    standard deviation: `grain` is that of the differences between neighbours, `fine` that of what
    averaging over 4 x 4 pixels removes, and `coarse` that of the means over 16 x 16 pixels.

    Args:
        source: The image.
        normalisation: The normalisation of the model.
        ratio: Pixels of the training images per image pixel; the statistics are measured at that
            scale.
    """
    found = [
        _of_window(normalisation.apply(source.read(window), source.statistics), ratio)
        for window in sample_windows(source.shape, max(int(WINDOW / ratio), BLOCK))
    ]
    return {name: float(np.mean([each[name] for each in found])) for name in found[0]}


def ranges(found: Iterable[Mapping[str, float]]) -> dict[str, tuple[float, float]]:
    """Return the minimum and maximum of each statistic."""
    found = list(found)
    return {
        name: (min(each[name] for each in found), max(each[name] for each in found))
        for name in (found[0] if found else ())
    }


def outside_ranges(
    found: Mapping[str, float], known: Mapping[str, tuple[float, float]], margin: float = MARGIN
) -> list[str]:
    """Return the names of the statistics outside their range, which is widened by a margin."""
    outside = []
    for name, (low, high) in known.items():
        room = margin * (high - low)
        if name in found and not low - room <= found[name] <= high + room:
            outside.append(name)
    return outside


def sample_windows(shape: tuple[int, int], side: int) -> list[Window]:
    """Return the whole image as a window, or evenly spread windows of a large image."""
    starts = []
    for length in shape:
        if length <= 2 * side:
            starts.append([(0, length)])
        else:
            first = np.linspace(0, length - side, WINDOWS).astype(int).tolist()
            starts.append([(start, start + side) for start in first])
    return [Window(r0, c0, r1, c1) for r0, r1 in starts[0] for c0, c1 in starts[1]]


def _of_window(image: Float32, ratio: float) -> dict[str, float]:
    pixels = resize(image, scaled_size(image.shape[1:], ratio)) if ratio != 1 else image
    centred = pixels - pixels.mean(axis=(1, 2), keepdims=True)
    square = centred * centred
    spread = float(np.sqrt(square.mean())) + 1e-6
    means = block_means(centred, 4)
    steps = np.diff(centred, axis=2) if centred.shape[2] > 1 else np.zeros(1)
    return {
        "contrast": spread,
        "skewness": float((square * centred).mean()) / spread**3,
        "grain": float(np.abs(steps).mean()) / spread,
        "fine": float(np.sqrt(max(0.0, 1 - (float(means.std()) / spread) ** 2))),
        "coarse": float(block_means(centred, BLOCK).std()) / spread,
    }


def block_means(image: Float32, side: int) -> Float32:
    """Average float32[C, h, w] over blocks of side x side pixels; incomplete blocks are dropped."""
    channels, height, width = image.shape
    rows, cols = max(height // side, 1), max(width // side, 1)
    inner = image[:, : rows * side, : cols * side]
    high, wide = inner.shape[1] // rows, inner.shape[2] // cols
    blocks = inner.reshape(channels, rows, high, cols, wide)
    means: Float32 = blocks.mean(axis=(2, 4))
    return means

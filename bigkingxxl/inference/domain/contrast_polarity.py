"""Contrast polarity: recognise images with bright and dark exchanged."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bigkingxxl.geometry import Window
from bigkingxxl.images import Float32, ImageSource, Normalisation
from bigkingxxl.inference.size.size_estimate import (
    LITTLE,
    REGION,
    PredictWindow,
    busiest,
    evidence,
    window_around,
)

# The required ratio of the evidence in the negative to that in the original. A network that was
# trained on both polarities finds up to three times as much in the background of an original, and
# one that was not finds almost nothing in the wrong polarity. Measured by the study
# familiar_images (benchmarks/studies/README.md).
CLEARLY = 4.0


class Negative(ImageSource):
    """An image with bright and dark exchanged."""

    def __init__(self, source: ImageSource) -> None:
        self.source = source
        self.name, self.shape, self.channels = source.name, source.shape, source.channels
        self.pixel_size_um, self.cell_diameter = source.pixel_size_um, source.cell_diameter
        self.part = source.part

    def read_raw(self, window: Window) -> Float32:
        """Read a window; see `ImageSource.read_raw`."""
        return np.negative(self.source.read_raw(window))


def may_be_inverted(
    statistics: Mapping[str, float], known: Mapping[str, tuple[float, float]]
) -> bool:
    """Return whether the skewness matches the training better with bright and dark exchanged.

    Args:
        statistics: The statistics of the image; see `image_statistics`.
        known: The ranges of the training images.
    """
    if "skewness" not in known:
        return False
    low, high = known["skewness"]
    upright, turned = (max(low - value, value - high, 0.0)
                       for value in (statistics["skewness"], -statistics["skewness"]))  # fmt: skip
    return turned < upright


def is_inverted(
    predict_window: PredictWindow, source: ImageSource, normalisation: Normalisation, ratio: float
) -> bool:
    """Return whether the network finds clearly more in the negative of the busiest window.

    The skewness alone is not sufficient: an image with only bright cells is as skewed as the
    negative of an image with only dark ones.

    Args:
        predict_window: Returns the candidates of a window of an image at a scale ratio.
        source: The image.
        normalisation: The normalisation of the model.
        ratio: Pixels of the training images per image pixel.
    """
    middle = busiest(source, normalisation)
    window = window_around(middle, round(REGION / ratio), source)
    upright, turned = (
        evidence(predict_window(image, window, ratio), window, window)
        for image in (source, Negative(source))
    )
    return turned > CLEARLY * upright + LITTLE

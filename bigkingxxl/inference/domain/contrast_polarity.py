"""Images with bright and dark exchanged, in which a network trained on the others sees little."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bigkingxxl.geometry import Window
from bigkingxxl.images import Float32, ImageSource, Normalisation
from bigkingxxl.inference.size.size_estimate import (
    LITTLE,
    REGION,
    Look,
    busiest,
    evidence,
    window_around,
)

# Times as much as upright: a network that knows both senses sees up to three times as much in the
# ground between cells, and one that does not sees next to nothing the wrong way round.
CLEARLY = 4.0


class Negative(ImageSource):
    """An image with bright and dark exchanged."""

    def __init__(self, source: ImageSource) -> None:
        self.source = source
        self.name, self.shape, self.channels = source.name, source.shape, source.channels
        self.pixel_size_um, self.cell_diameter = source.pixel_size_um, source.cell_diameter
        self.part = source.part

    def read_raw(self, window: Window) -> Float32:
        """See `ImageSource.read_raw`."""
        return np.negative(self.source.read_raw(window))


def may_be_inverted(
    statistics: Mapping[str, float], known: Mapping[str, tuple[float, float]]
) -> bool:
    """True where the skewness would fit training better with bright and dark exchanged.

    Args:
        statistics: of the image, known: of the training images; see `image_statistics`.
    """
    if "skewness" not in known:
        return False
    low, high = known["skewness"]
    upright, turned = (max(low - value, value - high, 0.0)
                       for value in (statistics["skewness"], -statistics["skewness"]))  # fmt: skip
    return turned < upright


def is_inverted(
    look: Look, source: ImageSource, normalisation: Normalisation, ratio: float
) -> bool:
    """True where the network sees clearly more in the image's negative, in the busiest window.

    The skewness alone does not say: images of bright cells without dark ones are as skewed as
    negatives of others.

    Args:
        look: the candidates of a window of an image at a scale ratio.
    """
    middle = busiest(source, normalisation)
    window = window_around(middle, round(REGION / ratio), source)
    upright, turned = (
        evidence(look(image, window, ratio), window, window) for image in (source, Negative(source))
    )
    return turned > CLEARLY * upright + LITTLE

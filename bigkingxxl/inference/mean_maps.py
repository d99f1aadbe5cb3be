"""Several dense models with the same maps as one: their maps are averaged and decoded once.

The boundaries are averaged before they are thresholded, so that masks fit better than masks that
are fused afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.images import ImageSource
from bigkingxxl.inference.dense_predictor import DensePredictor
from bigkingxxl.inference.image_region import ImageRegion
from bigkingxxl.inference.network_predictor import MeasuredSize
from bigkingxxl.inference.predictor import Predictor

Float32 = NDArray[np.float32]


@dataclass(eq=False)
class MeanMaps(DensePredictor):
    """A dense predictor whose maps are the weighted mean of the maps of several models.

    Each model uses its own scale, normalisation and augmentation. Sizes and decoding parameters are
    those of the first model.

    Args:
        models: All models.
        weights: The weight of each model, above 0.
    """

    _: KW_ONLY
    models: Sequence[DensePredictor] = ()
    weights: Sequence[float] = ()

    @classmethod
    def of(cls, models: Sequence[DensePredictor], weights: Sequence[float]) -> MeanMaps:
        """Combine several models."""
        mean = cls(**settings_of(models[0]), models=tuple(models), weights=tuple(weights))
        mean.type_names = models[0].type_names
        return mean

    def measured_size(self, source: ImageSource) -> MeasuredSize | None:
        """Measure the cell size with the first model; see `NetworkPredictor.measured_size`."""
        return self.models[0].measured_size(source)

    def maps_on(
        self, view: ImageRegion, grid: tuple[int, int], ratio: float, zoom: float = 1.0
    ) -> Float32:
        """Average the maps on the grid of the first model; see `DensePredictor.maps_on`."""
        share = np.asarray(self.weights, np.float32) / np.float32(sum(self.weights))
        total: Float32 = share[0] * self.models[0].maps_on(view, grid, ratio, zoom)
        for other, weight in zip(self.models[1:], share[1:], strict=True):
            total += weight * other.maps_on(view, grid, ratio, zoom)
        return total


def settings_of(model: DensePredictor) -> dict[str, Any]:
    """Return the arguments of a dense predictor, for creating another kind of predictor from it."""
    kinds = {each.name for each in fields(DensePredictor) if each.init}
    return {name: getattr(model, name) for name in sorted(kinds)}


def alike(one: Predictor, other: Predictor) -> bool:
    """Return whether two models have the same maps, so that their mean is meaningful."""
    return (
        isinstance(one, DensePredictor)
        and isinstance(other, DensePredictor)
        and one.type_names == other.type_names
        and one.representation.name == other.representation.name
        and one.representation.channels == other.representation.channels
        and one.representation.settings == other.representation.settings
        and one.settings.decode_scale == other.settings.decode_scale
    )

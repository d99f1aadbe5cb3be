"""Dense models that make the same maps as one: the mean of their maps is decoded once.

Their borders are averaged before a threshold cuts them, so masks fit better than those that are
fused after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.images import ImageSource
from bigkingxxl.inference.dense import DensePredictor
from bigkingxxl.inference.network import MeasuredSize
from bigkingxxl.inference.predictor import Predictor
from bigkingxxl.inference.view import View

Float32 = NDArray[np.float32]


@dataclass(eq=False)
class MeanMaps(DensePredictor):
    """The first of several models, whose maps are the weighted mean of them all.

    Each looks at its own scale, with its own normalisation and augmentation; sizes are judged, and
    parameters read, as the first does.

    Args:
        models: all of them; weights: of each, above 0.
    """

    _: KW_ONLY
    models: Sequence[DensePredictor] = ()
    weights: Sequence[float] = ()

    @classmethod
    def of(cls, models: Sequence[DensePredictor], weights: Sequence[float]) -> MeanMaps:
        """Several models as one."""
        mean = cls(**settings_of(models[0]), models=tuple(models), weights=tuple(weights))
        mean.type_names = models[0].type_names
        return mean

    def measured_size(self, source: ImageSource) -> MeasuredSize | None:
        """See `NetworkPredictor.measured_size`: as the first does."""
        return self.models[0].measured_size(source)

    def maps_on(
        self, view: View, grid: tuple[int, int], ratio: float, zoom: float = 1.0
    ) -> Float32:
        """See `DensePredictor.maps_on`; the grid is the first model's."""
        share = np.asarray(self.weights, np.float32) / np.float32(sum(self.weights))
        total: Float32 = share[0] * self.models[0].maps_on(view, grid, ratio, zoom)
        for other, weight in zip(self.models[1:], share[1:], strict=True):
            total += weight * other.maps_on(view, grid, ratio, zoom)
        return total


def settings_of(model: DensePredictor) -> dict[str, Any]:
    """What a dense predictor was made with, to make another kind of predictor of it."""
    kinds = {each.name for each in fields(DensePredictor) if each.init}
    return {name: getattr(model, name) for name in sorted(kinds)}


def alike(one: Predictor, other: Predictor) -> bool:
    """Whether two models make the same maps, so that their mean has a meaning."""
    return (
        isinstance(one, DensePredictor)
        and isinstance(other, DensePredictor)
        and one.type_names == other.type_names
        and one.representation.name == other.representation.name
        and one.representation.channels == other.representation.channels
        and one.representation.settings == other.representation.settings
        and one.settings.decode_scale == other.settings.decode_scale
    )

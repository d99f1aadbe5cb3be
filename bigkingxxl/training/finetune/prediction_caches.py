"""Cached predictions of images at the scales that the model would choose."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bigkingxxl.candidates import Candidates
from bigkingxxl.evaluation.prediction_cache import Parameters, prediction_cache
from bigkingxxl.images import ImageSource
from bigkingxxl.inference.network_predictor import NetworkPredictor

OpenSource = Callable[[str], ImageSource]


def with_diameter(predictor: NetworkPredictor, diameter: float | None) -> NetworkPredictor:
    """Set the cell diameter of a predictor in pixels; None lets the model estimate it."""
    return replace(predictor, training=replace(predictor.training, usual_diameter=diameter))


class SizedCache:
    """A `PredictionCache` of images at the scales that prediction would choose.

    Args:
        predictor: The model.
        source: Opens an image by its id.
        folder: The cache, for this model and diameter only.
        diameter: The cell diameter of all images in pixels; None lets the model estimate it.
    """

    def __init__(
        self,
        predictor: NetworkPredictor,
        source: OpenSource,
        folder: Path,
        diameter: float | None = None,
    ) -> None:
        self.predictor = with_diameter(predictor, diameter)
        self.open, self.diameter = source, diameter
        self._first: dict[str, Candidates] = {}
        self._cache = prediction_cache(self.predictor, self.source, folder)
        self.decode_grid: Mapping[str, Sequence[Any]] = self._cache.decode_grid
        self.decode_defaults: Parameters = self._cache.decode_defaults
        # A zoom would change the scale, which is chosen once for all images.
        self.zooms: Sequence[float] = ()

    def predicted(self, image_id: str) -> Candidates:
        """Return the candidates of prediction, cached."""
        if image_id not in self._first:
            self._first[image_id] = self.predictor.candidates(self.open(image_id))
        return self._first[image_id]

    def source(self, image_id: str) -> ImageSource:
        """Open an image with its estimated cell size, if the model estimates sizes."""
        source, known = self.open(image_id), self.predictor.training.median_diameter
        if known is None or not self.predictor.is_unknown(source):
            return source
        source = copy.copy(source)
        source.cell_diameter = known / self.predicted(image_id).scale_ratio
        return source

    def predict(self, image_id: str) -> None:
        """See `PredictionCache.predict`."""
        self._cache.predict(image_id)

    def decode(self, image_id: str, parameters: Parameters) -> Candidates:
        """See `PredictionCache.decode`."""
        return self._cache.decode(image_id, parameters)

    def voted_type(self, image_id: str) -> str | None:
        """See `PredictionCache.voted_type`."""
        return self._cache.voted_type(image_id)


class HeldOutCache:
    """The predictions of each image by a model that was not trained on it.

    Args:
        parts: The predictions of its model, by image id.
    """

    def __init__(self, parts: Mapping[str, SizedCache]) -> None:
        self.parts = parts
        first = next(iter(parts.values()))
        self.decode_grid, self.decode_defaults = first.decode_grid, first.decode_defaults
        self.zooms: Sequence[float] = ()

    def source(self, image_id: str) -> ImageSource:
        """See `SizedCache.source`."""
        return self.parts[image_id].source(image_id)

    def predicted(self, image_id: str) -> Candidates:
        """See `SizedCache.predicted`."""
        return self.parts[image_id].predicted(image_id)

    def predict(self, image_id: str) -> None:
        """See `PredictionCache.predict`."""
        self.parts[image_id].predict(image_id)

    def decode(self, image_id: str, parameters: Parameters) -> Candidates:
        """See `PredictionCache.decode`."""
        return self.parts[image_id].decode(image_id, parameters)

    def voted_type(self, image_id: str) -> str | None:
        """See `PredictionCache.voted_type`."""
        return self.parts[image_id].voted_type(image_id)

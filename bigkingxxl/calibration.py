"""Calibrated scores: the IoU that a candidate is expected to have with a true cell.

A method's own score ranks the candidates of one image, but it does not mean the same in every
image: a candidate scored 0.5 fits well among large cells and badly among small ones. A small
perceptron, trained on candidates that were compared with true cells, reads the score, the mean
probability, the size and the cell type, and predicts the IoU.

Source: Huang et al. 2019, "Mask Scoring R-CNN" (a score that is the expected IoU).
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Annotated, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, FiniteFloat, model_validator

from bigkingxxl.candidates import Candidates
from bigkingxxl.settings import Settings

Float64 = NDArray[np.float64]
OWN_FEATURES = 3  # the features that do not depend on cell types
FURTHEST = 4.0  # features are clipped this many standard deviations from the training mean


Row = tuple[FiniteFloat, ...]


class Layer(Settings):
    """A linear layer of the network.

    Attributes:
        weights: One row per output, with one weight per input.
        bias: One value per output.
    """

    weights: Annotated[tuple[Row, ...], Field(min_length=1)]
    bias: Row


class Calibration(Settings):
    """A perceptron that maps the features of a candidate to its expected IoU.

    Attributes:
        type_names: The cell types whose probabilities it reads.
        centre: The mean of each feature in the training data; see `features`.
        spread: The standard deviation of each feature in the training data.
        layers: Linear layers with ReLU between them; the last one has a single output.
    """

    type_names: tuple[str, ...]
    centre: Row
    spread: tuple[Annotated[FiniteFloat, Field(gt=0)], ...]
    layers: Annotated[tuple[Layer, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        widths = [OWN_FEATURES + len(self.type_names), *(len(each.bias) for each in self.layers)]
        sizes = [(len(layer.weights), *{len(row) for row in layer.weights})
                 for layer in self.layers]  # fmt: skip
        expected = [(after, before) for before, after in pairwise(widths)]
        if len(self.centre) != widths[0] or len(self.spread) != widths[0]:
            raise ValueError(f"expected {widths[0]} features")
        if sizes != expected or widths[-1] != 1:
            raise ValueError("layers that do not fit each other")
        return self

    def expected_iou(self, values: Float64) -> NDArray[np.float32]:
        """Return the expected IoU, float32[N] in [0, 1], for features float64[N, F]."""
        gap = (values - np.array(self.centre)) / np.array(self.spread)
        signal = np.clip(gap, -FURTHEST, FURTHEST)
        for place, layer in enumerate(self.layers):
            signal = signal @ np.array(layer.weights).T + np.array(layer.bias)
            if place < len(self.layers) - 1:
                signal = np.maximum(signal, 0)
        expected: NDArray[np.float32] = np.clip(signal[:, 0], 0, 1).astype(np.float32)
        return expected

    def scored(self, candidates: Candidates) -> Candidates:
        """Return the candidates with their expected IoU as the score."""
        values = features(candidates, self.type_names)
        return replace(candidates, score=self.expected_iou(values))


def features(candidates: Candidates, type_names: tuple[str, ...]) -> Float64:
    """Compute the features of each candidate.

    Returns:
        float64[N, F]: the mean probability inside the mask (above half of the candidate's own
        maximum); the score divided by that mean, which holds what else the method knows; the
        logarithm of the area in pixels of the training images; and the probability of each cell
        type, 0 where it is unknown.
    """
    count = len(candidates)
    values = np.zeros((count, OWN_FEATURES + len(type_names)))
    if count == 0:
        return values
    owner, pixels = candidates.owner, candidates.probability
    inside = pixels > (candidates.highest / 2)[owner]
    area = np.maximum(np.bincount(owner[inside], minlength=count), 1)
    mean = np.bincount(owner[inside], weights=pixels[inside], minlength=count) / area / 255
    values[:, 0] = mean
    values[:, 1] = candidates.score / np.maximum(mean, 1e-3)
    values[:, 2] = np.log(area * candidates.scale_ratio**2)
    known = candidates.type_probability
    if known is not None:
        for place, name in enumerate(type_names):
            if name in candidates.type_names:
                own = known[:, candidates.type_names.index(name)]
                values[:, OWN_FEATURES + place] = own
    return values

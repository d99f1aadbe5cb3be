"""What a candidate is worth: the IoU that it is expected to have with a true cell.

A method's own score orders the cells of one image and means something else in the next: what is
rated 0.5 fits well among large cells and badly among small ones. A small network that has compared
candidates with true cells reads score, sureness, size and cell type together, and makes of them
one number that means the same everywhere.

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
OWN_FEATURES = 3  # those that need no cell type
FURTHEST = 4.0  # standard deviations from what was seen when it was learned


Row = tuple[FiniteFloat, ...]


class Layer(Settings):
    """A layer of the network.

    Attributes:
        weights: of each output, one an input; bias: of each output.
    """

    weights: Annotated[tuple[Row, ...], Field(min_length=1)]
    bias: Row


class Calibration(Settings):
    """A perceptron from what is seen of a candidate to its expected IoU.

    Attributes:
        type_names: the cell types whose probabilities it reads.
        centre, spread: of each feature, as they were when it was learned; see `features`.
        layers: linear, with rectified outputs between them; the last has a single output.
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
        """float32[N] in [0, 1] of features float64[N, F]."""
        gap = (values - np.array(self.centre)) / np.array(self.spread)
        signal = np.clip(gap, -FURTHEST, FURTHEST)
        for place, layer in enumerate(self.layers):
            signal = signal @ np.array(layer.weights).T + np.array(layer.bias)
            if place < len(self.layers) - 1:
                signal = np.maximum(signal, 0)
        expected: NDArray[np.float32] = np.clip(signal[:, 0], 0, 1).astype(np.float32)
        return expected

    def scored(self, candidates: Candidates) -> Candidates:
        """The candidates with their expected IoU as score."""
        values = features(candidates, self.type_names)
        return replace(candidates, score=self.expected_iou(values))


def features(candidates: Candidates, type_names: tuple[str, ...]) -> Float64:
    """float64[N, F]: what is seen of each candidate.

    Mean probability inside its mask (above half of its own highest); its score over that, which is
    what else its method holds against it; the logarithm of its area in pixels of training; and the
    probability of each cell type, 0 where nobody knows it.
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

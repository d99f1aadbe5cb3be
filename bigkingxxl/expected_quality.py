"""The expected segmentation accuracy of an image, predicted without annotations.

The scores of cells say how well single masks fit, but not how many cells were missed. A small
linear model combines them with the candidates that were too uncertain to be kept. It predicts the
accuracy of the image: the mean of TP / (TP + FP + FN) over the IoU thresholds 0.50 to 0.95. It
belongs to the card of a model, because the inputs mean something else for each model.

Source: Robinson et al. 2018, "Real-time prediction of segmentation quality"; DeVries and Taylor
2018, "Leveraging uncertainty estimates for predicting segmentation quality".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import Field, FiniteFloat, model_validator

from bigkingxxl.settings import Settings

# The possible inputs, and the sign of their effect on the quality; see
# `bigkingxxl.inference.domain.quality_features`.
DIRECTIONS = {"hits": 1, "sureness": 1, "rejected": -1}


class Term(Settings):
    """One input of the linear model.

    Attributes:
        centre: The mean of the input over the images used for fitting.
        spread: Its standard deviation over these images.
        weight: The change of the expected quality per standard deviation.
    """

    centre: FiniteFloat
    spread: Annotated[FiniteFloat, Field(gt=0)]
    weight: FiniteFloat


class ExpectedQuality(Settings):
    """A linear model that predicts the quality of the segmentation of an image.

    Attributes:
        terms: The inputs, by name.
        base: The expected quality of an image with average inputs.
        low: A lower expected quality triggers a warning.
        images: The number of images used for fitting.
        sets: Their data sets.
    """

    terms: dict[str, Term] = Field(min_length=1)
    base: FiniteFloat
    low: Annotated[FiniteFloat, Field(ge=0, le=1)] = 0.12
    images: int = Field(0, ge=0)
    sets: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _known(self) -> Self:
        for name, term in self.terms.items():
            if name not in DIRECTIONS:
                raise ValueError(f"'{name}' is not a known feature of an image")
            if term.weight * DIRECTIONS[name] < 0:
                raise ValueError(f"'{name}' has a coefficient with the wrong sign")
        return self

    def of(self, values: Mapping[str, float]) -> float:
        """Return the expected quality in [0, 1] for the inputs of an image."""
        total = self.base
        for name, term in self.terms.items():
            total += term.weight * (values[name] - term.centre) / term.spread
        return min(max(total, 0.0), 1.0)

"""How well an image is likely to be outlined: its segmentation accuracy, foretold without truth.

A model's scores say how well single masks fit; how many cells were missed they do not. A small
linear model reads them, and what was too unsure to be a cell, and foretells one number for the
image: the mean over IoU 0.50 to 0.95 of hits / (hits + false alarms + misses), which an annotation
would give it. It is part of the model's card, as the numbers mean something else for each model.

Source: Robinson et al. 2018, "Real-time prediction of segmentation quality"; DeVries and Taylor
2018, "Leveraging uncertainty estimates for predicting segmentation quality".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import Field, FiniteFloat, model_validator

from bigkingxxl.settings import Settings

# What may be read of an image, and which way quality goes with it; see
# `bigkingxxl.inference.domain.expected_quality`.
DIRECTIONS = {"hits": 1, "sureness": 1, "rejected": -1}


class Term(Settings):
    """What one number says.

    Attributes:
        centre, spread: of the number, over the images that the model was learnt from.
        weight: what a spread more of it adds to the expected quality.
    """

    centre: FiniteFloat
    spread: Annotated[FiniteFloat, Field(gt=0)]
    weight: FiniteFloat


class ExpectedQuality(Settings):
    """A linear model from what is seen of an image to its expected quality.

    Attributes:
        terms: by the name of what is read.
        base: of an image in which every number lies at its centre.
        low: an expected quality below it is worth a warning.
        images: how many it was learnt from; sets: their data sets.
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
                raise ValueError(f"'{name}' is nothing that is read of an image")
            if term.weight * DIRECTIONS[name] < 0:
                raise ValueError(f"'{name}' counts the wrong way")
        return self

    def of(self, values: Mapping[str, float]) -> float:
        """The expected quality, in [0, 1], of what was read of an image."""
        total = self.base
        for name, term in self.terms.items():
            total += term.weight * (values[name] - term.centre) / term.spread
        return min(max(total, 0.0), 1.0)

"""The interface of predictors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from bigkingxxl.candidates import Candidates
from bigkingxxl.images import ImageSource


@runtime_checkable
class Predictor(Protocol):
    """Anything that maps an image to candidates: a trained model, an ensemble, an oracle."""

    def candidates(self, source: ImageSource) -> Candidates:
        """Return all candidates of the image, in its own frame, before any threshold."""
        ...


# How to read an image, in JSON types: the size and type of its cells and the contrast polarity. It
# is determined once for the whole image and applied to each of its parts.
ImageContext = Mapping[str, Any]


@runtime_checkable
class PartwisePredictor(Predictor, Protocol):
    """A predictor that can process the parts of an image one by one in the same way."""

    def image_context(self, source: ImageSource) -> ImageContext:
        """Determine how to read an image, from samples spread over it."""
        ...

    def candidates_in(self, source: ImageSource, context: ImageContext) -> Candidates:
        """Return all candidates of an image or a part of it, in its own frame."""
        ...


def image_context_of(predictor: Predictor, source: ImageSource) -> ImageContext:
    """Determine how to read an image; empty if the predictor does not adapt to images."""
    return predictor.image_context(source) if isinstance(predictor, PartwisePredictor) else {}


def predict_in(predictor: Predictor, source: ImageSource, context: ImageContext) -> Candidates:
    """Predict an image, or a part of it, with a given context."""
    if isinstance(predictor, PartwisePredictor):
        return predictor.candidates_in(source, context)
    return predictor.candidates(source)

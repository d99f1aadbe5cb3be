"""What everything that sees cells in an image has in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from bigkingxxl.candidates import Candidates
from bigkingxxl.images import ImageSource


@runtime_checkable
class Predictor(Protocol):
    """Anything that turns an image into candidates: a trained model, an ensemble, an oracle."""

    def candidates(self, source: ImageSource) -> Candidates:
        """Everything seen in the image, in its own frame, before any threshold."""
        ...


# How an image is looked at, in JSON's types: its cells' size, their type, the sense of brightness.
# It is judged once for the whole image, and each of its parts is seen so by whoever looks at it.
ImageContext = Mapping[str, Any]


@runtime_checkable
class PartwisePredictor(Predictor, Protocol):
    """A predictor that can look at the parts of an image one by one, all of them alike."""

    def image_context(self, source: ImageSource) -> ImageContext:
        """How to look at an image, judged by a sample that is spread over it."""
        ...

    def candidates_in(self, source: ImageSource, context: ImageContext) -> Candidates:
        """Everything seen in an image, or in a part of it, in its own frame."""
        ...


def image_context_of(predictor: Predictor, source: ImageSource) -> ImageContext:
    """How an image is looked at; nothing where the predictor judges nothing."""
    return predictor.image_context(source) if isinstance(predictor, PartwisePredictor) else {}


def predict_in(predictor: Predictor, source: ImageSource, context: ImageContext) -> Candidates:
    """What a predictor sees in an image, or in a part of it, so looked at."""
    if isinstance(predictor, PartwisePredictor):
        return predictor.candidates_in(source, context)
    return predictor.candidates(source)

"""What everything that sees cells in an image has in common."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from bigkingxxl.candidates import Candidates
from bigkingxxl.images import ImageSource


@runtime_checkable
class Predictor(Protocol):
    """Anything that turns an image into candidates: a trained model, an ensemble, an oracle."""

    def candidates(self, source: ImageSource) -> Candidates:
        """Everything seen in the image, in its own frame, before any threshold."""
        ...

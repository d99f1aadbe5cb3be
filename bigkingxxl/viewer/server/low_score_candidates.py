"""Faint cells, which are predicted again when somebody opens an image.

A dense model stores only rather certain candidates: where its foreground is weak, or its flows are
inconsistent, nothing is decoded. A second prediction with less strict parameters offers such cells
to the user, who adds one with a click. They do not become part of the run.
"""

from __future__ import annotations

import logging
import threading
from typing import Any

from bigkingxxl.candidates import Candidates
from bigkingxxl.errors import BigKingXXLError
from bigkingxxl.operating_points import OperatingPoint
from bigkingxxl.viewer.server.recently_used import RecentlyUsed
from bigkingxxl.viewer.server.run_workspace import RunWorkspace
from bigkingxxl.viewer.server.workspace import KnownImage

log = logging.getLogger(__name__)
LARGEST = 2**22  # pixels of an image that is predicted again
KEPT = 16  # images whose faint cells are kept in memory
LESS_STRICT = {
    "foreground_threshold": (0.5, 0.4),
    "flow_error": (0.4, 3.0),
}  # default values and factors


class _NotAvailableError(LookupError):
    """There is no second prediction of this image."""


class LowScoreCandidates:
    """The faint cells of images of a run; none if its model is not available."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._model: tuple[str, Any] = ("", None)
        self._known = RecentlyUsed[tuple[str, str], Candidates](KEPT)

    def candidates(self, run: RunWorkspace, image: KnownImage) -> Candidates | None:
        """Return the candidates of a second prediction, including those of the first."""
        place = (run.run_settings.run, image.key)
        with self._lock:  # one at a time, because a network uses all cores
            try:
                return self._known.get(place, lambda: self._predicted(run, image))
            except _NotAvailableError:
                return None
            except (BigKingXXLError, OSError, MemoryError) as error:
                log.debug("no second prediction of %s: %s", image.name, error)
                return None

    def _predicted(self, run: RunWorkspace, image: KnownImage) -> Candidates:
        source = run.source(image)
        if source.shape[0] * source.shape[1] > LARGEST:
            raise _NotAvailableError
        predictor = self._predictor(run)
        if predictor is None:
            raise _NotAvailableError
        found: Candidates = predictor.candidates(source)
        return found

    def _predictor(self, run: RunWorkspace) -> Any:
        """Return the model with less strict parameters; None unless it is exported and dense."""
        from bigkingxxl.inference.dense_predictor import DensePredictor
        from bigkingxxl.inference.load_model import load_predictor
        from bigkingxxl.model_files import ONNX_SUFFIX, model_hash, resolve_model

        digest = run.run_settings.model
        if self._model[0] == digest:
            return self._model[1]
        path = resolve_model(run.model)
        if path.suffix != ONNX_SUFFIX or model_hash(path) != digest:
            return None
        predictor, _ = load_predictor(path)
        if isinstance(predictor, DensePredictor):
            predictor.points = predictor.points.each(_less_strict)
            self._model = (digest, predictor)
        else:
            self._model = (digest, None)  # other models score every candidate, however faint
        return self._model[1]


def _less_strict(point: OperatingPoint) -> OperatingPoint:
    """Return parameters that accept weaker foreground and less consistent flows."""
    if not {*point.decode} <= {"zoom", "steps", "minimum_area", *LESS_STRICT}:
        return point  # of another representation
    parameters = {name: float(point.decode.get(name, usual)) * times
             for name, (usual, times) in LESS_STRICT.items()}  # fmt: skip
    return point.changed(decode={**point.decode, **parameters})

"""Cells that the model sees faintly: looked for anew when somebody opens an image.

A dense model stores only what it is fairly sure of: where its foreground is weak, or its flows
contradict each other, nothing is decoded. A second look with freer parameters offers such cells to
the user, who adds one with a click. Nothing of it goes into the run.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from typing import Any

from bigkingxxl.candidates import Candidates
from bigkingxxl.errors import BigKingXXLError
from bigkingxxl.operating_points import OperatingPoint
from bigkingxxl.viewer.server.of_run import RunWorkspace
from bigkingxxl.viewer.server.workspace import KnownImage

log = logging.getLogger(__name__)
LARGEST = 2**22  # pixels of an image that is looked at once more
KEPT = 16  # images whose faint cells are kept in memory
EXPORTED = ".onnx"  # a model that needs no torch
FREER = {"foreground_threshold": (0.5, 0.4), "flow_error": (0.4, 3.0)}  # default, and times


class Faint:
    """The faint cells of images of a run; none where its model is not at hand."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._model: tuple[str, Any] = ("", None)
        self._known: OrderedDict[tuple[str, str], Candidates] = OrderedDict()

    def candidates(self, run: RunWorkspace, image: KnownImage) -> Candidates | None:
        """What a second look shows of an image, what the first one showed among it."""
        place = (run.run_settings.run, image.key)
        with self._lock:  # one at a time: a network takes all cores by itself
            if place in self._known:
                return self._known[place]
            try:
                source = run.source(image)
                if source.shape[0] * source.shape[1] > LARGEST:
                    return None
                predictor = self._predictor(run)
                if predictor is None:
                    return None
                found: Candidates = predictor.candidates(source)
            except (BigKingXXLError, OSError, MemoryError) as error:
                log.debug("no second look at %s: %s", image.name, error)
                return None
            self._known[place] = found
            while len(self._known) > KEPT:
                self._known.popitem(last=False)
            return found

    def _predictor(self, run: RunWorkspace) -> Any:
        """The run's model with freer parameters; None where it is no single exported dense one."""
        from bigkingxxl.inference.dense import DensePredictor
        from bigkingxxl.inference.load import load_predictor
        from bigkingxxl.models import model_hash, resolve_model

        digest = run.run_settings.model
        if self._model[0] == digest:
            return self._model[1]
        path = resolve_model(run.model)
        if path.suffix != EXPORTED or model_hash(path) != digest:
            return None
        predictor, _ = load_predictor(path)
        if isinstance(predictor, DensePredictor):
            predictor.points = predictor.points.each(_freer)
            self._model = (digest, predictor)
        else:
            self._model = (digest, None)  # others score every candidate, however faint
        return self._model[1]


def _freer(point: OperatingPoint) -> OperatingPoint:
    """Parameters under which weaker foreground, and flows that agree less, are cells too."""
    if not {*point.decode} <= {"zoom", "steps", "minimum_area", *FREER}:
        return point  # of another representation
    parameters = {name: float(point.decode.get(name, usual)) * times
             for name, (usual, times) in FREER.items()}  # fmt: skip
    return point.changed(decode={**point.decode, **parameters})

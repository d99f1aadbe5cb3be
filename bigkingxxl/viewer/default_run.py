"""A run as `bigkingxxl predict` makes it without options: either goes on with the other's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bigkingxxl.inference.ensemble_file import named_members
from bigkingxxl.inference.load_ensemble import load_ensemble
from bigkingxxl.inference.predictor import Predictor
from bigkingxxl.inference.size.scale_ratio import ScaleHint
from bigkingxxl.model_card import ModelCard
from bigkingxxl.model_files import model_hash
from bigkingxxl.provenance import fingerprint
from bigkingxxl.runs.folder import run_settings
from bigkingxxl.runs.selection import Selection
from bigkingxxl.runs.store import RunSettings


def default_predictor(model: str) -> tuple[Predictor, ModelCard]:
    """Load a model or an ensemble by its name or file.

    Raises:
        ModelError: It is missing or damaged.
        MissingExtraError: A package is missing that it needs.
    """
    _, weights, found = named_members([model], None)
    return load_ensemble(found.files, weights=weights, changes=found.changes, points=found.points)


def default_settings(
    model: str, selection: Selection, formats: Sequence[str], reading: Mapping[str, Any]
) -> RunSettings:
    """Return the settings of such a run.

    Args:
        model: The name or file of a model or an ensemble.
        selection: How cells are selected.
        formats: The formats of the results.
        reading: How images are opened.
    """
    models, weights, found = named_members([model], None)
    options = repr((found.changes, ScaleHint(None, None, None), None, None, None, None, weights))
    hashes = [model_hash(file) for file in found.files]
    return run_settings(
        fingerprint([*hashes, options]), selection, formats, model="+".join(hashes),
        reading=dict(reading), models=models,
    )  # fmt: skip

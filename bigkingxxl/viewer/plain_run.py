"""A run as `bigkingxxl predict` makes it without options: either goes on with the other's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bigkingxxl.inference.size.sizing import ScaleHint
from bigkingxxl.models import model_hash
from bigkingxxl.provenance import fingerprint
from bigkingxxl.runs.folder import run_settings
from bigkingxxl.runs.selection import Selection
from bigkingxxl.runs.store import RunSettings


def plain_settings(
    model: str, path: Path, selection: Selection, formats: Sequence[str],
    reading: Mapping[str, Any],
) -> RunSettings:  # fmt: skip
    """The settings of such a run.

    Args:
        model: as the user named it; path: its file; reading: how images are opened.
    """
    options = repr(({}, ScaleHint(None, None, None), None, None, None, None, None))
    digest = model_hash(path)
    return run_settings(
        fingerprint([digest, options]), selection, formats, model=digest, reading=dict(reading),
        models=[model],
    )  # fmt: skip

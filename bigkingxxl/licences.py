"""Show the terms of a model when it is first used on an account."""

from __future__ import annotations

import hashlib
import logging
import os
from pathlib import Path

from bigkingxxl.files import write_text

log = logging.getLogger(__name__)


def show_licence(licence: str) -> None:
    """Log the terms of a model, unless they were shown before.

    Args:
        licence: `ModelCard.licence`; an empty text is ignored.
    """
    if not licence:
        return
    seen = _state_folder() / f"licence-{hashlib.sha256(licence.encode()).hexdigest()[:12]}.txt"
    try:
        if seen.is_file():
            return
        write_text(seen, licence + "\n")
    except Exception:  # without a writable home folder the terms are shown each time
        log.debug("%s cannot be written", seen)
    log.warning("%s (This message appears once.)", licence)


def _state_folder() -> Path:
    """Return the folder where programs keep their state for this account."""
    local = os.environ.get("XDG_STATE_HOME") or os.environ.get("LOCALAPPDATA")
    return (Path(local) if local else Path.home() / ".local" / "state") / "bigkingxxl"

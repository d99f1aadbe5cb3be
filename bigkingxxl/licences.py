"""The terms a model comes with, said once: at its first use on this account."""

from __future__ import annotations

import hashlib
import logging
import os
from pathlib import Path

from bigkingxxl.files import write_text

log = logging.getLogger(__name__)


def tell_licence(licence: str) -> None:
    """Log a model's terms, unless they were told before.

    Args:
        licence: `ModelCard.licence`; nothing is told where it is empty.
    """
    if not licence:
        return
    seen = _state_folder() / f"licence-{hashlib.sha256(licence.encode()).hexdigest()[:12]}.txt"
    try:
        if seen.is_file():
            return
        write_text(seen, licence + "\n")
    except Exception:  # an account without a writable home is told each time, and that is all
        log.debug("%s cannot be written", seen)
    log.warning("%s (This message appears once.)", licence)


def _state_folder() -> Path:
    """Where programs of this account keep what they remember."""
    local = os.environ.get("XDG_STATE_HOME") or os.environ.get("LOCALAPPDATA")
    return (Path(local) if local else Path.home() / ".local" / "state") / "bigkingxxl"

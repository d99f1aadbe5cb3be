"""The cells of a large image as its blocks keep them, for whoever reads a run."""

from __future__ import annotations

from bigkingxxl.errors import FormatError
from bigkingxxl.instances import Instances
from bigkingxxl.io.annotations.run_cells import load_cells
from bigkingxxl.runs.store import RunStore

SETTLED = "settled"


def stored_cells(store: RunStore, image_id: str, run: str) -> Instances:
    """All cells of a large image, in the order of their numbers.

    Args:
        run: fingerprint of the run's settings.

    Raises:
        FormatError: the files of its blocks are gone or damaged.
    """
    folder = store.blocks(image_id) / run / SETTLED
    parts = [load_cells(path) for path in sorted(folder.glob("*.npz"))]
    if not parts:
        raise FormatError(f"{folder} holds no cells any more: predict the image again")
    return Instances.concatenate(parts)

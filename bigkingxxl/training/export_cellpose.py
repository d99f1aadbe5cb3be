"""Export a trained Cellpose network to a file for Cellpose's GUI and library."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bigkingxxl.errors import InputError
from bigkingxxl.files import whole_file
from bigkingxxl.model_files import load_model
from bigkingxxl.networks.cellpose_files import CYTO, write_cellpose


def export_cellpose(model: Path, out: Path) -> tuple[float, float]:
    """Write the weights of the network under the names of the library, with the cell sizes.

    Returns:
        The cell diameter in network pixels and in pixels of the training images.

    Raises:
        InputError: The model has another method; for other errors see `load_model`.
    """
    loaded = load_model(model)
    card, network = loaded.card, loaded.network
    if card.method != "cellpose":
        raise InputError(
            f"{model} is a model of the method '{card.method}': only Cellpose's own networks "
            "(bigkingxxl train cellpose) can be opened by Cellpose",
            file=model,
            key="method",
            found=card.method,
            expected="cellpose",
        )
    diameter = card.median_diameter or CYTO / card.prediction.scale
    sizes = (diameter * card.prediction.scale, diameter)
    library: Any = network.library
    with whole_file(out) as temporary:
        write_cellpose(temporary, library, *sizes)
    return sizes

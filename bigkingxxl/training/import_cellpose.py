"""Import a Cellpose file as a model that predicts the same and can be trained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from bigkingxxl.files import file_hash
from bigkingxxl.images import Normalisation
from bigkingxxl.instances import UNTYPED
from bigkingxxl.methods.registry import make_method
from bigkingxxl.model_card import ModelCard, PredictionSettings
from bigkingxxl.model_files import save_model
from bigkingxxl.networks.cellpose_files import CellposeFile, load_library, read_cellpose
from bigkingxxl.provenance import provenance
from bigkingxxl.training.import_weights import Imported, Line, unique

# The normalisation of Cellpose: 0 at the first percentile and 1 (here 2) at the 99th, unclipped.
NORMALISATION = Normalisation(low=1, high=99, zero="low", limit=50)
TILES = {"unet": 224, "sam": 256}
OVERLAP = 32
PLACE = "library."  # the prefix of the library's names in our network


def import_cellpose(start: str, out: Path, *, types: Sequence[str] = ()) -> Imported:
    """Write a model with the network of a Cellpose file (3.1 or 4.x), which is read safely.

    Args:
        start: The file, or the name of a model that the library downloads.
        out: The model file.
        types: The cell types of the model; several are distinguished only after training. By
            default only 'cell'.

    Raises:
        InputError: See `read_cellpose`; or a type is named twice, or the network cannot distinguish
            several types.
        ModelError: See `read_cellpose` and `load_library`.
        MissingExtraError: See `read_cellpose`.
    """
    file = read_cellpose(start)
    settings = {"network": file.kind}
    method = make_method("cellpose", settings, unique(tuple(types)) or (UNTYPED,))
    with torch.random.fork_rng(devices=()):
        network: Any = method.build()
    load_library(network.library, file)
    state = network.state_dict()
    save_model(out, _card(file, method.settings.model_dump(), method.type_names), state)
    lines = []
    for name, tensor in state.items():
        source = name.removeprefix(PLACE) if name.startswith(PLACE) else ""
        note = "" if source else "prefers no type before it is trained"
        action: Any = "renamed" if source else "re-made"
        lines.append(Line(action, source, name, tuple(tensor.shape), note))
    return Imported(method.type_names, tuple(lines))


def _card(file: CellposeFile, settings: dict[str, Any], type_names: tuple[str, ...]) -> ModelCard:
    made = {"from": "cellpose", "file": file.path.name, "sha256": file_hash(file.path)}
    scale = file.network_diameter / file.image_diameter
    return ModelCard(
        method="cellpose",
        settings=settings,
        type_names=type_names,
        normalisation=NORMALISATION,
        prediction=PredictionSettings(scale=scale, tile=TILES[file.kind], overlap=OVERLAP),
        median_diameter=file.image_diameter,
        provenance={**provenance(0), "imported": made},
    )

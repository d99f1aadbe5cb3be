"""A file of Cellpose's own as a model of ours: it sees the same, predicts and can be trained on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from bigkingxxl.files import file_hash
from bigkingxxl.images import Normalisation
from bigkingxxl.instances import UNTYPED
from bigkingxxl.methods.registry import make_method
from bigkingxxl.models import ModelCard, PredictionSettings, save_model
from bigkingxxl.networks.cellpose_files import CellposeFile, load_library, read_cellpose
from bigkingxxl.provenance import provenance
from bigkingxxl.training.import_weights import Imported, Line, unique

# As Cellpose: 0 at the first percentile, and 1 (here 2) at the 99th. It clips nothing.
NORMALISATION = Normalisation(low=1, high=99, zero="low", limit=50)
TILES = {"unet": 224, "sam": 256}
OVERLAP = 32
PLACE = "library."  # before the library's names in our network


def import_cellpose(start: str, out: Path, *, types: Sequence[str] = ()) -> Imported:
    """Write a model with the network of a file of Cellpose's (3.1 or 4.x), read safely.

    Args:
        start: the file, or the name of a model that the library downloads.
        types: of the model; several are told apart only after training. By default 'cell' alone.
    Raises:
        InputError, ModelError, MissingExtraError: as `read_cellpose` and `load_library`; types
            named twice, or several for a network that tells none apart.
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

"""Cellpose model files: find them by name or path, read them without running code, write them.

They hold the weights of a network under the names of the library, and two cell sizes: `diam_mean`
in network pixels, and `diam_labels` in pixels of the training images.
"""

from __future__ import annotations

import glob
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from bigkingxxl.connectivity import is_reachable, patience
from bigkingxxl.errors import InputError, MissingExtraError, ModelError
from bigkingxxl.networks.cellpose import DIAMETERS, HOW, Kind, library_version
from bigkingxxl.networks.pretrained import read_tensors
from bigkingxxl.settings import nearest

CYTO, NUCLEI = 30.0, 17.0  # the diameter of cells and nuclei in network pixels
# it claims 30 but was trained with 17; the library recognises it by its name
NUCLEI_FILE = "nucleitorch_0"
PARALLEL = "module."  # the prefix of names in networks that were trained on several devices
MARKS: dict[Kind, str] = {"unet": "output.2.weight", "sam": "W2"}
DINO = "encoder.cls_token"


@dataclass(frozen=True, eq=False)
class CellposeFile:
    """The content of a Cellpose file.

    Attributes:
        path: The file.
        kind: The network to which the weights belong.
        weights: The weights by the names of the library.
        network_diameter: The cell diameter in network pixels.
        image_diameter: The cell diameter in pixels of the training images.
    """

    path: Path
    kind: Kind
    weights: dict[str, Tensor]
    network_diameter: float
    image_diameter: float


def read_cellpose(start: str) -> CellposeFile:
    """Read a Cellpose file, or a model that the library knows by name and downloads.

    Raises:
        InputError: It is neither, or the download failed.
        MissingExtraError: It is a name, and the library is not installed.
        ModelError: The file is damaged or not a Cellpose file.
    """
    path = Path(start) if Path(start).is_file() else named_file(start)
    stored = {name.removeprefix(PARALLEL): each for name, each in read_tensors(path).items()}
    kind = _kind(path, stored)
    size = NUCLEI if path.name == NUCLEI_FILE else _size(stored, "diam_mean", CYTO)
    weights = {name: each.float() for name, each in stored.items() if name not in DIAMETERS}
    return CellposeFile(path, kind, weights, size, _size(stored, "diam_labels", size))


def _kind(path: Path, stored: Mapping[str, Tensor]) -> Kind:
    if DINO in stored:
        raise ModelError(
            f"{path} is a network on DINOv3, expected one of Cellpose 3.1 or CP-SAM",
            file=path,
            found="DINOv3",
        )
    for kind, mark in MARKS.items():
        if mark in stored:
            return kind
    raise ModelError(
        f"{path} is not a Cellpose model: it has neither '{MARKS['unet']}' (3.1) nor "
        f"'{MARKS['sam']}' (Cellpose-SAM)",
        file=path,
    )


def _size(stored: Mapping[str, Tensor], name: str, default: float) -> float:
    size = float(stored[name].float().mean()) if name in stored else default
    return size if 0 < size < float("inf") else default


def named_file(name: str) -> Path:
    """Return the file of a model that the library knows; download it if needed.

    Raises:
        InputError: The name is unknown, or the download failed.
        MissingExtraError: The library is not installed.
    """
    if library_version() is None:
        raise MissingExtraError(
            f"'{name}' is not a file, and models by name need the library cellpose: {HOW['unet']}",
            key="cellpose",
            found=name,
        )
    from cellpose import models

    known = [*models.MODEL_NAMES, *models.get_user_models()]
    if name not in known:
        raise InputError(
            f"'{name}' is neither a file nor a model of cellpose {library_version()}"
            f"{nearest(name, known)}",
            key="settings.start",
            found=name,
            expected=tuple(known),
        )
    find = getattr(models, "model_path", models.cache_model_path)
    is_kept = any(Path(models.MODEL_DIR).glob(f"{glob.escape(name)}*"))
    try:
        if not is_kept and not is_reachable(models._MODEL_URL):
            raise OSError("it cannot be reached")
        with checked_certificates(), patience():
            return Path(find(name))
    except (OSError, ValueError) as error:
        raise InputError(
            f"the model '{name}' could not be downloaded from {models._MODEL_URL} ({error}): "
            "download the file on another machine and name it with --set settings.start=FILE",
            key="settings.start",
            found=name,
            expected=models._MODEL_URL,
        ) from error


@contextmanager
def checked_certificates() -> Iterator[None]:
    """Restore the verification of TLS certificates after the block.

    The library disables it for the whole process when it downloads a file.
    """
    context = ssl._create_default_https_context
    try:
        yield
    finally:
        ssl._create_default_https_context = context


def load_library(network: nn.Module, file: CellposeFile) -> None:
    """Load the weights of a file into the library's network.

    Raises:
        ModelError: They do not fit; the first tensor that does not is named.
    """
    own = network.state_dict()
    # Old files have no batch counters; nothing that is computed depends on them.
    weights = {**{name: each for name, each in own.items() if each.ndim == 0}, **file.weights}
    for name, tensor in own.items():
        found = weights.get(name)
        if found is None or found.shape != tensor.shape:
            what = "is missing" if found is None else f"has shape {tuple(found.shape)}"
            raise ModelError(
                f"{file.path} does not fit Cellpose's network: '{name}' {what}, "
                f"expected shape {tuple(tensor.shape)}",
                file=file.path,
                key=name,
                expected=tuple(tensor.shape),
            )
        if not torch.isfinite(found).all():
            raise ModelError(
                f"{file.path}: '{name}' contains values that are not numbers",
                file=file.path,
                key=name,
            )
    left = [name for name in weights if name not in own]
    if left:
        raise ModelError(
            f"{file.path} does not fit Cellpose's network: '{left[0]}' is not used",
            file=file.path,
            key=left[0],
        )
    network.load_state_dict({name: weights[name] for name in own})


def write_cellpose(
    path: Path, network: nn.Module, network_diameter: float, image_diameter: float
) -> None:
    """Write a file that the library and its GUI can open.

    Args:
        path: The file.
        network: The network of the library.
        network_diameter: See `CellposeFile`.
        image_diameter: See `CellposeFile`.
    """
    sizes = dict(zip(DIAMETERS, (network_diameter, image_diameter), strict=True))
    stored = {name: torch.tensor([size], dtype=torch.float32) for name, size in sizes.items()}
    stored |= {name: each.detach().cpu().clone() for name, each in network.state_dict().items()}
    torch.save(stored, path)

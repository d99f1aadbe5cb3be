"""Model files: weights in safetensors or an ONNX graph, and the card in their metadata.

Loading a model never runs code from the file: the metadata is validated JSON, and the weights are
plain arrays.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from bigkingxxl.errors import BigKingXXLError, MissingExtraError, ModelError, SettingsError
from bigkingxxl.extras import install
from bigkingxxl.files import file_hash, write_bytes
from bigkingxxl.model_bytes import onnx_metadata, onnx_with, safetensors_with
from bigkingxxl.model_card import ModelCard
from bigkingxxl.operating_points import OperatingPoints
from bigkingxxl.settings import checked
from bigkingxxl.shipped_models import SHIPPED, shipped_model

if TYPE_CHECKING:
    from torch import Tensor, nn

    from bigkingxxl.methods.base import Method

METADATA_KEY = "bigkingxxl"
ONNX_SUFFIX = ".onnx"
FOLDS_ENSEMBLE = "folds.ensemble"  # written into the folder of a cross-validation
ONNX_PREFIX = "network."  # the prefix of the weights' names in an exported graph
log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Model:
    """A loaded model: its card, its method and its network in evaluation mode."""

    card: ModelCard
    method: Method
    network: nn.Module


def resolve_model(name: str | Path) -> Path:
    """Return the file of a model, given the name of a shipped model or a path.

    A run folder stands for the model in it; an exported model is preferred.

    Raises:
        ModelError: There is neither a shipped model of this name nor such a file.
    """
    shipped = shipped_model(str(name))
    if shipped is not None:
        if not shipped.path.is_file():
            raise ModelError(
                f"the model '{shipped.name}' is not part of this installation, which contains "
                "only models that are free for all uses: use another one (--model open), or "
                "install the complete package as its README says",
                file=shipped.path, key="model", found=shipped.name,
                expected=tuple(name for name, each in SHIPPED.items() if each.path.is_file()),
            )  # fmt: skip
        return shipped.path
    path = in_folder(Path(name))
    if (path / FOLDS_ENSEMBLE).is_file():
        raise ModelError(
            f"{path} contains the models of a cross-validation: use {path / FOLDS_ENSEMBLE} or "
            "the folder of one fold",
            file=path,
            expected=path / FOLDS_ENSEMBLE,
        )
    if not path.is_file():
        known = "" if path.suffix else f" (shipped models: {', '.join(SHIPPED)})"
        raise ModelError(f"{path}: no such model file{known}", file=path)
    return path


def in_folder(path: Path) -> Path:
    """Return the model in a run folder; any other path is returned unchanged."""
    names = (f"model{ending}" for ending in (ONNX_SUFFIX, ".safetensors"))
    found = [path / name for name in names if (path / name).is_file()]
    return found[0] if found else path


def save_model(path: Path, card: ModelCard, weights: Mapping[str, Tensor]) -> None:
    """Write a model file atomically.

    Args:
        path: The file.
        card: The description of the model.
        weights: The state dict of the network, saved in its dtypes as contiguous tensors.

    Raises:
        OutputError: The file cannot be written.
    """
    from safetensors.torch import save

    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in weights.items()}
    # safetensors raises an exception of its own if the disk is full.
    write_bytes(path, save(plain, metadata={METADATA_KEY: card.model_dump_json()}))


def read_card(path: Path) -> ModelCard:
    """Read the card of a model file (.safetensors or .onnx) without torch.

    Raises:
        ModelError: The file is missing, damaged, truncated or not a model of this package.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise ModelError(f"{path}: no such model file", file=path)
    if path.suffix == ONNX_SUFFIX:
        try:
            return card_of(path, onnx_metadata(path.read_bytes()))
        except (OSError, ValueError) as error:
            raise ModelError(
                f"{path} is not an ONNX model, or it is damaged ({error})", file=path
            ) from error
    try:
        with safe_open(str(path), framework="numpy") as stream:
            metadata = stream.metadata() or {}
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelError(
            f"{path} is not a model file, or it is damaged ({error})", file=path
        ) from error
    return card_of(path, metadata)


def write_operating_points(path: Path, points: OperatingPoints, out: Path | None = None) -> None:
    """Replace the operating points of a model file (.safetensors or .onnx) atomically.

    Neither torch nor onnx is needed, and the weights are not changed.

    Args:
        path: The model file.
        points: The new operating points.
        out: Where the changed model is written; by default it replaces the file.

    Raises:
        ModelError: See `read_card`.
        OutputError: The file cannot be written.
    """
    write_card(path, read_card(path).changed(operating_points=points.model_dump()), out)


def write_card(path: Path, card: ModelCard, out: Path | None = None) -> None:
    """Replace the card of a model file; see `write_operating_points`."""
    write_bytes(out or path, _with_card(path, card))


def _with_card(path: Path, card: ModelCard) -> bytes:
    changed = onnx_with if path.suffix == ONNX_SUFFIX else safetensors_with
    return changed(path.read_bytes(), METADATA_KEY, card.model_dump_json())


def card_of(path: Path, metadata: Mapping[str, str]) -> ModelCard:
    """Return the card in the metadata of a model file.

    Raises:
        ModelError: It is missing, damaged or of another version.
    """
    if METADATA_KEY not in metadata:
        raise ModelError(
            f"{path} has no metadata of BigKingXXL: it was not made by this program", file=path
        )
    try:
        values = json.loads(metadata[METADATA_KEY])
        if not isinstance(values, dict):
            raise TypeError("its metadata are not a description of a model")
        return checked(ModelCard, values, where="its metadata")
    except (ValueError, TypeError, RecursionError, BigKingXXLError) as error:
        told = error.details() if isinstance(error, BigKingXXLError) else {}
        raise ModelError(
            f"{path} is damaged or of another version: {error}", file=path, **told
        ) from error


def require_torch(path: Path) -> None:
    """Check that torch is installed before anything of a model that needs it is imported.

    Raises:
        MissingExtraError: torch is not installed.
    """
    if find_spec("torch") is None:
        raise MissingExtraError(
            f"{path} needs torch, which comes with the extra 'train': {install('train')}",
            file=path,
            key="train",
        )


def load_model(path: Path, device: str = "cpu") -> Model:
    """Load a model of either file format with its network on a device, in evaluation mode.

    Raises:
        ModelError: See `read_card`; or the weights do not fit the network (the message names the
            first mismatches).
        MissingExtraError: torch is not installed.
    """
    card = read_card(path)
    require_torch(path)
    import torch
    from safetensors.torch import load_file

    from bigkingxxl.methods.registry import make_method

    try:
        method = make_method(card.method, card.settings, card.type_names)
    except SettingsError as error:
        raise ModelError(f"{path} cannot be used: {error}", file=path, **error.details()) from error
    with torch.random.fork_rng(devices=()):  # the initial weights are replaced
        network = method.build()
    own = network.state_dict()
    weights = exported_weights(path, own) if path.suffix == ONNX_SUFFIX else load_file(str(path))
    problems = mismatches(own, weights)
    if problems:
        raise ModelError(
            f"{path} does not fit its network: {'; '.join(problems[:3])}",
            file=path,
            found=tuple(problems),
        )
    unused = [name for name in weights if name not in own]
    if unused:
        log.warning("%s: tensors that its network does not use: %d, from '%s' on", path,
                    len(unused), unused[0])  # fmt: skip
    network.load_state_dict({name: weights[name] for name in own})
    return Model(card, method, network.to(device).eval())


def exported_weights(path: Path, own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the float32 weights of an exported graph by their names in the network.

    Args:
        path: The .onnx file.
        own: The state dict of the network. Its batch counters, which a graph does not hold, are
            kept.
    """
    import onnx
    import torch
    from onnx import numpy_helper

    counters = {name: tensor for name, tensor in own.items() if not tensor.is_floating_point()}
    graph = onnx.load(str(path)).graph
    stored = {
        each.name.removeprefix(ONNX_PREFIX): torch.tensor(numpy_helper.to_array(each)).float()
        for each in graph.initializer if each.name.startswith(ONNX_PREFIX)
    }  # fmt: skip
    return {**counters, **stored}


def mismatches(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> list[str]:
    """Return one line per expected tensor that is missing or has another shape.

    Additional tensors are ignored, because they cannot change what the network computes.
    """
    lines = [f"'{name}' is missing" for name in expected if name not in found]
    for name, tensor in expected.items():
        if name in found and found[name].shape != tensor.shape:
            shapes = f"{tuple(found[name].shape)}, expected {tuple(tensor.shape)}"
            lines.append(f"'{name}' has shape {shapes}")
    return lines


def model_hash(path: Path) -> str:
    """Return the first 12 digits of a model file's SHA-256, which identify the model in results."""
    return file_hash(path)[:12]


def untuned_hash(path: Path) -> str:
    """Return the first 12 digits of the SHA-256 that a model file would have without tuning.

    Two models with the same value have the same weights and differ only in operating points.
    """
    card = read_card(path).changed(operating_points=OperatingPoints().model_dump())
    return sha256(_with_card(path, card)).hexdigest()[:12]

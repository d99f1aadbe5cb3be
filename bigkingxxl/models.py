"""Model files: weights in safetensors, and everything else in their metadata.

Loading a model never runs code from the file: the metadata is validated JSON, and the weights are
plain arrays.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from bigkingxxl.calibration import Calibration
from bigkingxxl.errors import BigKingXXLError, MissingExtraError, ModelError, SettingsError
from bigkingxxl.expected_quality import ExpectedQuality
from bigkingxxl.extras import install
from bigkingxxl.files import file_hash, write_bytes
from bigkingxxl.images import Normalisation
from bigkingxxl.model_bytes import onnx_metadata, onnx_with, safetensors_with
from bigkingxxl.operating_points import OperatingPoints
from bigkingxxl.settings import (
    MOST_PIXELS_ALONG_A_SIDE,
    Channels,
    Positive,
    Range,
    Settings,
    checked,
    rising,
)
from bigkingxxl.shipped_models import SHIPPED, shipped_model
from bigkingxxl.test_time_augmentation import EARLIER, Augmentations

if TYPE_CHECKING:
    from onnxruntime import InferenceSession
    from torch import Tensor, nn

    from bigkingxxl.methods.base import Method

METADATA_KEY = "bigkingxxl"
ONNX_SUFFIX = ".onnx"
FOLDS_ENSEMBLE = "folds.ensemble"  # written into the folder of a cross-validation
TELEMETRY = "ORT_DISABLE_TELEMETRY"
ONNX_PREFIX = "network."  # the prefix of the weights' names in an exported graph

Diameters = Annotated[tuple[Positive, Positive], AfterValidator(rising)]

log = logging.getLogger(__name__)


class PredictionSettings(Settings):
    """How a trained model reads an image.

    Attributes:
        scale: Network pixels per pixel of the training images.
        tile: The side of a tile in network pixels; it is rounded up to the stride of the method.
        overlap: The overlap of neighbouring tiles in network pixels.
        tta: Test-time augmentation, the views whose results are averaged: any of 'mirror', 'flips',
            'turns' and 'scales', or 'none'; see `bigkingxxl.test_time_augmentation`.
        decode_scale: Pixels of the decoded maps per image pixel, at most the resolution of the
            network. A larger value draws outlines more finely and takes longer. Detectors ignore
            it.
        batch_size: The number of tiles that the network processes at once.
        diameter: The cell diameter in pixels that is assumed for images without further
            information; None estimates it for each image.
    """

    scale: float = Field(1.0, ge=0.01, le=100)
    tile: int = Field(256, ge=32, le=MOST_PIXELS_ALONG_A_SIDE)
    overlap: int = Field(64, ge=0, le=MOST_PIXELS_ALONG_A_SIDE)
    tta: Augmentations = ()
    decode_scale: float = Field(1.0, ge=1, le=100)
    batch_size: int = Field(4, ge=1, le=4096)
    diameter: Positive | None = None

    @model_validator(mode="before")
    @classmethod
    def _reads_flips(cls, values: Any) -> Any:
        """Accept `flips`, a number of views, from earlier models and settings."""
        if not isinstance(values, Mapping) or "flips" not in values:
            return values
        known = {key: value for key, value in values.items() if key != "flips"}
        flips = values["flips"]
        if not isinstance(flips, int) or flips not in EARLIER:
            raise ValueError(f"'flips' is {flips!r}, use 'tta' instead")
        if known.get("tta"):
            raise ValueError("'flips' and 'tta' are both given: use only 'tta'")
        return {**known, "tta": EARLIER[flips]}


class ModelCard(Settings):
    """The description of a model: what it is, what it was trained on and how it predicts.

    Attributes:
        method: The name of the method.
        settings: The settings of the method.
        type_names: The cell types, in the order of the network's outputs.
        normalisation: How intensities are normalised.
        prediction: How images are read.
        operating_points: How cells are selected from candidates.
        calibration: Maps the score of a candidate to its expected IoU; None leaves the score as it
            is.
        quality: Predicts the segmentation accuracy of an image; None if the model does not.
        pixel_size_um: Micrometres per pixel of the training images, or None if unknown.
        median_diameter: The diameter, in pixels, of a disc with the median area of the training
            cells.
        image_diameters: By cell type, the range (5th to 95th percentile of the training images) of
            the median cell diameter of an image; empty if unknown.
        image_statistics: By name, the range of each statistic of the training images; see
            `bigkingxxl.inference.domain.image_statistics`; empty if unknown.
        trained_on: The ids of the training images.
        selected_on: The ids of the images on which the checkpoint was selected.
        scores: The measured scores, by name.
        provenance: The date, command, versions and seed of the training.
        licence: Terms of the training data, shown when the model is first used; may be empty.
    """

    format: Literal["bigkingxxl-model-1"] = "bigkingxxl-model-1"
    method: str
    settings: dict[str, Any]
    type_names: tuple[str, ...] = Field(min_length=1)
    image_channels: Channels = 1
    normalisation: Normalisation = Normalisation()
    prediction: PredictionSettings = PredictionSettings()
    operating_points: OperatingPoints = OperatingPoints()
    calibration: Calibration | None = None
    quality: ExpectedQuality | None = None
    pixel_size_um: tuple[Positive, Positive] | None = None
    median_diameter: Positive | None = None
    image_diameters: dict[str, Diameters] = Field(default_factory=dict)
    image_statistics: dict[str, Annotated[Range, AfterValidator(rising)]] = Field(
        default_factory=dict
    )
    trained_on: tuple[str, ...] = ()
    selected_on: tuple[str, ...] = ()
    scores: dict[str, Any] = Field(default_factory=dict)
    provenance: dict[str, Any] = Field(default_factory=dict)
    licence: str = ""

    @model_validator(mode="before")
    @classmethod
    def _reads_appearance(cls, values: Any) -> Any:
        """Accept the earlier name `appearance` of `image_statistics`."""
        if not isinstance(values, Mapping) or "appearance" not in values:
            return values
        known = {key: value for key, value in values.items() if key != "appearance"}
        return {"image_statistics": values["appearance"], **known}


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
                "install the package from PyPI",
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
            return _card_of(path, onnx_metadata(path.read_bytes()))
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
    return _card_of(path, metadata)


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


def _card_of(path: Path, metadata: Mapping[str, str]) -> ModelCard:
    if METADATA_KEY not in metadata:
        raise ModelError(
            f"{path} has no metadata of BigKingXXL: it was not made by this program", file=path
        )
    try:
        return checked(ModelCard, json.loads(metadata[METADATA_KEY]), where="its metadata")
    except (ValueError, TypeError, RecursionError, BigKingXXLError) as error:
        told = error.details() if isinstance(error, BigKingXXLError) else {}
        raise ModelError(
            f"{path} is damaged or of another version: {error}", file=path, **told
        ) from error


def open_onnx(path: Path, threads: int = 0) -> tuple[ModelCard, InferenceSession]:
    """Open an exported model; return its card and a CPU session.

    Args:
        path: The .onnx file.
        threads: The number of threads; 0 uses OMP_NUM_THREADS, or one thread per core.

    Raises:
        ModelError: The file is missing, damaged, not a model of this package, or uses an operator
            that ONNX Runtime does not know.
    """
    onnxruntime = runtime()
    if not path.is_file():
        raise ModelError(f"{path}: no such model file", file=path)
    options = onnxruntime.SessionOptions()
    asked = os.environ.get("OMP_NUM_THREADS", "")
    options.intra_op_num_threads = threads or (int(asked) if asked.isdecimal() else 0)
    # Idle threads must not spin: decoding and writing need their cores.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4  # errors are raised; printing them as well would not help
    try:
        session = onnxruntime.InferenceSession(
            path.read_bytes(), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # the exceptions of ONNX Runtime have no common base class
        reason = str(error).splitlines()[0]
        raise ModelError(
            f"{path} is not an ONNX model that the runtime can run ({reason})", file=path
        ) from error
    return _card_of(path, session.get_modelmeta().custom_metadata_map), session


def runtime() -> ModuleType:
    """Import ONNX Runtime with its telemetry switched off.

    Some builds send usage data by default. Set ORT_DISABLE_TELEMETRY=0 to allow it.
    """
    asked = os.environ.get(TELEMETRY)
    if asked is None:
        os.environ[TELEMETRY] = "1"  # read at import
    try:
        import onnxruntime
    finally:
        if asked is None:
            os.environ.pop(TELEMETRY, None)
    if asked != "0":
        onnxruntime.disable_telemetry_events()
    module: ModuleType = onnxruntime
    return module


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

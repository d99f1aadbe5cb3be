"""A trained model in one file: weights in safetensors, everything else in its metadata.

Loading never runs code: the metadata is JSON checked by type, the weights are plain arrays.
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
from bigkingxxl.extras import install
from bigkingxxl.files import file_hash, write_bytes
from bigkingxxl.images import Normalisation
from bigkingxxl.model_bytes import onnx_metadata, onnx_with, safetensors_with
from bigkingxxl.operating_points import OperatingPoints
from bigkingxxl.quality import ExpectedQuality
from bigkingxxl.settings import (
    MOST_PIXELS_ALONG_A_SIDE,
    Channels,
    Positive,
    Range,
    Settings,
    checked,
    rising,
)
from bigkingxxl.shipped import SHIPPED, shipped_model
from bigkingxxl.test_time_augmentation import EARLIER, Augmentations

if TYPE_CHECKING:
    from onnxruntime import InferenceSession
    from torch import Tensor, nn

    from bigkingxxl.methods.base import Method

METADATA_KEY = "bigkingxxl"
ONNX_SUFFIX = ".onnx"
FOLDS_ENSEMBLE = "folds.ensemble"  # in the folder of a cross-validation
TELEMETRY = "ORT_DISABLE_TELEMETRY"
ONNX_PREFIX = "network."  # of the weights' names in an exported graph

Diameters = Annotated[tuple[Positive, Positive], AfterValidator(rising)]

log = logging.getLogger(__name__)


class PredictionSettings(Settings):
    """How a trained model reads an image.

    Attributes:
        scale: network pixels per pixel of the training images.
        tile, overlap: in network pixels (a tile is enlarged to the method's stride).
        tta: test-time augmentation, the views that are averaged: any of 'mirror', 'flips', 'turns'
            and 'scales', or 'none'; see `bigkingxxl.test_time_augmentation`.
        decode_scale: pixels of the maps that cells are read from a pixel of the image, at most the
            network's own; more draws small cells' outlines finer and takes longer. Detectors make
            no maps and disregard it.
        batch_size: tiles at once.
        diameter: of the cells, in pixels of images about which nothing else is said; None judges
            image by image how large cells are shown.
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
        """Earlier models and settings say `flips`, a number of views."""
        if not isinstance(values, Mapping) or "flips" not in values:
            return values
        known = {key: value for key, value in values.items() if key != "flips"}
        flips = values["flips"]
        if not isinstance(flips, int) or flips not in EARLIER:
            raise ValueError(f"'flips' is {flips!r}, expected 'tta' in its place")
        if known.get("tta"):
            raise ValueError("'flips' is given beside 'tta', which stands in its place")
        return {**known, "tta": EARLIER[flips]}


class ModelCard(Settings):
    """What a model is, what it was made from and how it is to be used.

    Attributes:
        method, settings: which network; type_names: the cell types, in order.
        normalisation, prediction, operating_points: how it reads images and selects cells.
        calibration: makes of a candidate's score the IoU that is to be expected; None: it stays.
        quality: foretells an image's segmentation accuracy; None: nobody does.
        pixel_size_um: micrometres per pixel of the training images, or None where unknown.
        median_diameter: of the training cells, in their pixels (of a disc of the median area).
        image_diameters: by cell type, the range (5th to 95th percentile of the training images) of
            the median diameter of an image's cells; empty where unknown.
        image_statistics: by name, the range of each statistic of the training images; see
            `bigkingxxl.inference.domain.image_statistics`; empty where unknown.
        trained_on, selected_on: ids of the images of training and of choosing the checkpoint.
        scores: by name, as measured; provenance: date, command, versions, seed.
        licence: terms that come with the training data, said at first use; empty: none.
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
        """Earlier models say `appearance` for `image_statistics`."""
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
    """The file of a model: one that is shipped, by its name, or a path.

    A run folder stands for the model in it, an exported one first.

    Raises:
        ModelError: neither.
    """
    shipped = shipped_model(str(name))
    if shipped is not None:
        if not shipped.path.is_file():
            raise ModelError(
                f"the model '{shipped.name}' is not part of this installation, which holds free "
                "works only: take another (--model open), or install the package from PyPI",
                file=shipped.path, key="model", found=shipped.name,
                expected=tuple(name for name, each in SHIPPED.items() if each.path.is_file()),
            )  # fmt: skip
        return shipped.path
    path = in_folder(Path(name))
    if (path / FOLDS_ENSEMBLE).is_file():
        raise ModelError(
            f"{path} holds the models of a cross-validation: name {path / FOLDS_ENSEMBLE}, or one "
            "of its folds"
        )
    if not path.is_file():
        known = "" if path.suffix else f" (shipped models: {', '.join(SHIPPED)})"
        raise ModelError(f"{path}: no such model file{known}")
    return path


def in_folder(path: Path) -> Path:
    """The model of a run folder; any other path as it is."""
    names = (f"model{ending}" for ending in (ONNX_SUFFIX, ".safetensors"))
    found = [path / name for name in names if (path / name).is_file()]
    return found[0] if found else path


def save_model(path: Path, card: ModelCard, weights: Mapping[str, Tensor]) -> None:
    """Write the model file whole or not at all.

    Args:
        weights: a network's state dict; saved contiguous, in the dtype given.
    Raises:
        OutputError: it cannot be written.
    """
    from safetensors.torch import save

    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in weights.items()}
    # The library's own writer reports a full disk as an error of its own kind.
    write_bytes(path, save(plain, metadata={METADATA_KEY: card.model_dump_json()}))


def read_card(path: Path) -> ModelCard:
    """The card of a model file (.safetensors or .onnx), without torch.

    Raises:
        ModelError: missing, corrupt, truncated, or not a model of ours.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise ModelError(f"{path}: no such model file")
    if path.suffix == ONNX_SUFFIX:
        try:
            return _card_of(path, onnx_metadata(path.read_bytes()))
        except (OSError, ValueError) as error:
            raise ModelError(f"{path} is no ONNX model, or it is damaged ({error})") from error
    try:
        with safe_open(str(path), framework="numpy") as stream:
            metadata = stream.metadata() or {}
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelError(f"{path} is not a model file, or it is damaged ({error})") from error
    return _card_of(path, metadata)


def write_operating_points(path: Path, points: OperatingPoints, out: Path | None = None) -> None:
    """Give a model file (.safetensors or .onnx) other operating points, whole or not at all.

    Neither torch nor onnx is needed, and the weights stay as they are, bit for bit.

    Args:
        out: where the changed model goes; by default the file itself is replaced.
    Raises:
        ModelError: as `read_card`.
        OutputError: it cannot be written.
    """
    write_card(path, read_card(path).changed(operating_points=points.model_dump()), out)


def write_card(path: Path, card: ModelCard, out: Path | None = None) -> None:
    """Give a model file another card; see `write_operating_points`."""
    write_bytes(out or path, _with_card(path, card))


def _with_card(path: Path, card: ModelCard) -> bytes:
    changed = onnx_with if path.suffix == ONNX_SUFFIX else safetensors_with
    return changed(path.read_bytes(), METADATA_KEY, card.model_dump_json())


def _card_of(path: Path, metadata: Mapping[str, str]) -> ModelCard:
    if METADATA_KEY not in metadata:
        raise ModelError(f"{path} holds no metadata of ours: it was not made by bigkingxxl")
    try:
        return checked(ModelCard, json.loads(metadata[METADATA_KEY]), where="its metadata")
    except (ValueError, TypeError, RecursionError, BigKingXXLError) as error:
        raise ModelError(f"{path} is damaged or of another version: {error}") from error


def open_onnx(path: Path, threads: int = 0) -> tuple[ModelCard, InferenceSession]:
    """The card and a CPU session of an exported model.

    Args:
        threads: 0 takes what OMP_NUM_THREADS says, else one per core.
    Raises:
        ModelError: missing, damaged, with an operator the runtime does not know, or not ours.
    """
    onnxruntime = runtime()
    if not path.is_file():
        raise ModelError(f"{path}: no such model file")
    options = onnxruntime.SessionOptions()
    asked = os.environ.get("OMP_NUM_THREADS", "")
    options.intra_op_num_threads = threads or (int(asked) if asked.isdecimal() else 0)
    # Threads that wait for work in a loop would take the cores that decode and write.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4  # its errors are raised; printing them as well helps nobody
    try:
        session = onnxruntime.InferenceSession(
            path.read_bytes(), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # the runtime's errors share no base class
        reason = str(error).splitlines()[0]
        raise ModelError(f"{path} is no ONNX model that the runtime can run ({reason})") from error
    return _card_of(path, session.get_modelmeta().custom_metadata_map), session


def runtime() -> ModuleType:
    """ONNX Runtime, which reports nothing of its use to its makers.

    Some builds of it do by themselves. Whoever wants that sets ORT_DISABLE_TELEMETRY=0.
    """
    asked = os.environ.get(TELEMETRY)
    if asked is None:
        os.environ[TELEMETRY] = "1"  # read while it is imported
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
    """Say what a base install lacks for a model, before anything is imported for it.

    Raises:
        MissingExtraError: torch is not installed.
    """
    if find_spec("torch") is None:
        raise MissingExtraError(
            f"{path} needs torch, which comes with the extra 'train': {install('train')}"
        )


def load_model(path: Path, device: str = "cpu") -> Model:
    """A model with its network on a device, in evaluation mode; from either kind of file.

    Raises:
        ModelError: as `read_card`, or weights that do not fit the network (the first mismatches
            are named).
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
        raise ModelError(f"{path} cannot be used: {error}") from error
    with torch.random.fork_rng(devices=()):  # what it is built with is replaced
        network = method.build()
    own = network.state_dict()
    weights = exported_weights(path, own) if path.suffix == ONNX_SUFFIX else load_file(str(path))
    problems = mismatches(own, weights)
    if problems:
        raise ModelError(f"{path} does not fit its network: {'; '.join(problems[:3])}")
    unused = [name for name in weights if name not in own]
    if unused:
        log.warning("%s: tensors that its network does not use: %d, from '%s' on", path,
                    len(unused), unused[0])  # fmt: skip
    network.load_state_dict({name: weights[name] for name in own})
    return Model(card, method, network.to(device).eval())


def exported_weights(path: Path, own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights inside an exported graph, float32, by their names in the network.

    Args:
        own: the network's state; its counters of batches, which no graph holds, are kept.
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
    """One line for each expected tensor that is missing or of another shape.

    What is left over does not count: it cannot change what the network does.
    """
    lines = [f"'{name}' is missing" for name in expected if name not in found]
    for name, tensor in expected.items():
        if name in found and found[name].shape != tensor.shape:
            shapes = f"{tuple(found[name].shape)}, expected {tuple(tensor.shape)}"
            lines.append(f"'{name}' has shape {shapes}")
    return lines


def model_hash(path: Path) -> str:
    """The first 12 digits of the file's SHA-256: which model made a result."""
    return file_hash(path)[:12]


def untuned_hash(path: Path) -> str:
    """The first 12 digits of the SHA-256 that the file would have if it had never been tuned.

    Two models of one such hash see the same; they only decide differently.
    """
    card = read_card(path).changed(operating_points=OperatingPoints().model_dump())
    return sha256(_with_card(path, card)).hexdigest()[:12]

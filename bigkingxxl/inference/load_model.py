"""Load a model file as a predictor."""

from __future__ import annotations

from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.candidates import Candidates
from bigkingxxl.errors import InputError, ModelError, SettingsError
from bigkingxxl.geometry import multiple
from bigkingxxl.inference.chunked_maps import checked_side
from bigkingxxl.inference.dense_predictor import DensePredictor
from bigkingxxl.inference.detector_predictor import DetectorPredictor
from bigkingxxl.inference.network_predictor import NetworkPredictor
from bigkingxxl.inference.size.scale_ratio import training_images
from bigkingxxl.methods.base import DenseMethod, Method
from bigkingxxl.methods.registry import make_method
from bigkingxxl.model_card import ModelCard, PredictionSettings
from bigkingxxl.model_files import ONNX_SUFFIX, Model, load_model, read_card, require_torch
from bigkingxxl.onnx_models import open_onnx
from bigkingxxl.operating_points import without_zoom

if TYPE_CHECKING:
    from onnxruntime import InferenceSession
    from torch import Tensor, nn

Float32 = NDArray[np.float32]
ONE_TILE = {"batch_size": 1}


def choose_device(name: str) -> str:
    """Replace 'auto' by the best available device.

    Raises:
        InputError: The device is not available.
    """
    import torch

    there = {"cpu": True, "cuda": torch.cuda.is_available(),
             "mps": torch.backends.mps.is_available()}  # fmt: skip
    if name == "auto":
        return next(kind for kind in ("cuda", "mps", "cpu") if there[kind])
    if name not in there:
        raise InputError(
            f"no device '{name}': choose auto, cpu, cuda or mps",
            key="device",
            found=name,
            expected=("auto", "cpu", "cuda", "mps"),
        )
    if not there[name]:
        raise InputError(
            f"the device '{name}' is not available on this machine", key="device", found=name
        )
    return name


class TorchMaps:
    """The network of a dense method as a maps function, in bfloat16 where that is faster."""

    def __init__(self, method: DenseMethod, network: nn.Module, device: str) -> None:
        self.method, self.network, self.device = method, network, device

    def __call__(self, tiles: Float32) -> Float32:
        """Compute maps float32[B, K, h, w] of tiles float32[B, C, h, w]."""
        import torch

        with (
            torch.inference_mode(),
            torch.autocast(self.device, torch.bfloat16, enabled=self.device != "mps"),
        ):
            maps = self.method.maps(self.network, _on(self.device, tiles))
        return np.ascontiguousarray(maps.float().cpu().numpy())


class TorchDetections:
    """The network of any other method as a detect function, in bfloat16 where that is faster."""

    def __init__(self, method: Method, network: nn.Module, device: str) -> None:
        import torch

        self.method, self.device = method, device
        # The same memory format as the tiles (see `_on`), so that convolutions need no conversion.
        last = torch.channels_last
        self.network = network if device == "mps" else network.to(memory_format=last)

    def __call__(self, tiles: Float32) -> list[Candidates]:
        """Return the candidates of each tile of float32[B, C, h, w]."""
        import torch

        with (
            torch.inference_mode(),
            torch.autocast(self.device, torch.bfloat16, enabled=self.device != "mps"),
        ):
            return self.method.detect(self.network, _on(self.device, tiles))


def _on(device: str, tiles: Float32) -> Tensor:
    import torch

    batch = torch.from_numpy(tiles).to(device)
    return batch if device == "mps" else batch.contiguous(memory_format=torch.channels_last)


class OnnxMaps:
    """An exported network as a maps function.

    It processes one tile at a time with all cores, whatever number of threads call it. On CPUs
    larger batches need more memory and save no time (`ONE_TILE`). Sessions with a share of the
    cores for each thread were slower: 0.81 instead of 0.67 s per image on two cores
    (`predict_speed`).
    """

    def __init__(self, session: InferenceSession) -> None:
        self.session = session
        self._one_at_a_time = Lock()

    def __call__(self, tiles: Float32) -> Float32:
        """Compute maps float32[B, K, h, w] of tiles float32[B, C, h, w]."""
        maps = []
        for index in range(len(tiles)):
            with self._one_at_a_time:
                maps += self.session.run(None, {"image": tiles[index : index + 1]})
        return np.asarray(maps[0] if len(maps) == 1 else np.concatenate(maps), np.float32)


def model_predictor(
    model: Model,
    device: str = "cpu",
    *,
    settings: PredictionSettings | None = None,
    scale: float | None = None,
    cell_type: str | None = None,
    tile: int | None = None,
) -> NetworkPredictor:
    """Create a predictor of a loaded model.

    Args:
        model: The model.
        device: The device.
        settings: Prediction settings that replace those of the card.
        scale: Network pixels per image pixel; by default it follows the size of the cells.
        cell_type: The cell type of the images, if known.
        tile: The longest side, in network pixels, that is processed at once; it saves memory and
            does not change the result.

    Raises:
        InputError: The tile is too small for an identical result.
    """
    method = make_method(model.card.method, model.card.settings, model.card.type_names)
    options = _predictor_options(model.card, method, settings, scale)
    if isinstance(method, DenseMethod):
        maps = TorchMaps(method, model.network, device)
        return DensePredictor(
            maps, method.representation, points=model.card.operating_points, cell_type=cell_type,
            zooms=method.zooms, **_piece(model.card, method, tile), **options,
        )  # fmt: skip
    _piece(model.card, method, tile)
    detect = TorchDetections(method, model.network, device)
    limit = getattr(method.settings, "detections", None)
    return DetectorPredictor(detect, type_names=method.type_names, limit=limit, **options)


def onnx_predictor(
    path: Path,
    *,
    settings: PredictionSettings | None = None,
    scale: float | None = None,
    cell_type: str | None = None,
    tile: int | None = None,
) -> tuple[DensePredictor, ModelCard]:
    """Create a predictor of an exported model without torch; see `model_predictor`.

    Raises:
        InputError: The method is not a dense one, or the tile is too small.
        ModelError: See `open_onnx` and `check_network`.
    """
    card, session = open_onnx(path)
    method = make_method(card.method, card.settings, card.type_names)
    if not isinstance(method, DenseMethod):
        raise InputError(
            f"{path}: the method '{card.method}' has no output maps; use its .safetensors file",
            file=path,
            key="method",
            found=card.method,
        )
    check_network(path, card, method, session)
    maps = OnnxMaps(session)
    options = _predictor_options(card, method, settings, scale)
    options["settings"] = options["settings"].model_copy(update=ONE_TILE)
    predictor = DensePredictor(
        maps, method.representation, points=card.operating_points, cell_type=cell_type,
        zooms=method.zooms, **_piece(card, method, tile), **options,
    )  # fmt: skip
    return predictor, card


def check_network(
    path: Path, card: ModelCard, method: DenseMethod, session: InferenceSession
) -> None:
    """Check that the card of an exported model fits its network, and its decoding parameters.

    Raises:
        ModelError: The network has other inputs or outputs, or a parameter is invalid.
    """
    made = len(method.representation.channels)
    for side, of_card, what in (
        (session.get_inputs()[0], card.image_channels, "image channels"),
        (session.get_outputs()[0], made, "output maps"),
    ):
        count = side.shape[1] if len(side.shape) > 1 else None
        if isinstance(count, int) and count != of_card:
            raise ModelError(
                f"{path} is damaged: its metadata describe a network of {of_card} {what}, but it "
                f"has {count}",
                file=path,
                key=what,
                found=count,
                expected=of_card,
            )
    points = card.operating_points
    try:
        for point in (points.default, *points.by_type.values()):
            method.representation.parameters(without_zoom(point.decode))
    except SettingsError as error:
        raise ModelError(f"{path} is damaged: {error}", file=path, **error.details()) from error


def _piece(card: ModelCard, method: Method, tile: int | None) -> dict[str, Any]:
    """Return the arguments of `DensePredictor` for processing tiles in pieces."""
    own = multiple(card.prediction.tile, method.stride)
    side = checked_side(tile, own, method.context, method.stride)
    return {"piece": side, "context": method.context or 0}


def _predictor_options(
    card: ModelCard, method: Method, settings: PredictionSettings | None, scale: float | None
) -> dict[str, Any]:
    """Return the arguments of `NetworkPredictor` that follow from a card."""
    return {
        "normalisation": card.normalisation,
        "settings": settings or card.prediction,
        "stride": method.stride,
        "scale": scale,
        "training": training_images(card),
        "calibration": card.calibration,
        "image_channels": card.image_channels,
    }


def load_predictor(
    path: Path,
    device: str = "auto",
    *,
    settings: PredictionSettings | None = None,
    scale: float | None = None,
    cell_type: str | None = None,
    tile: int | None = None,
) -> tuple[NetworkPredictor, ModelCard]:
    """Load the predictor and the card of a model file; an .onnx file needs no torch.

    Args:
        path: The file.
        device: The device of a torch model; an exported model runs on the CPU.
        settings: See `model_predictor`.
        scale: See `model_predictor`.
        cell_type: See `model_predictor`.
        tile: See `model_predictor`.

    Raises:
        ModelError: The file is missing, damaged, not a model of this package, or ONNX Runtime
            cannot run it.
        MissingExtraError: The file needs torch, which is not installed.
    """
    predictor: NetworkPredictor
    if path.suffix == ONNX_SUFFIX:
        if device not in ("auto", "cpu"):
            raise InputError(
                f"{path} is an exported model: it runs on the cpu, not on '{device}'",
                file=path,
                key="device",
                found=device,
                expected="cpu",
            )
        predictor, card = onnx_predictor(
            path, settings=settings, scale=scale, cell_type=cell_type, tile=tile
        )
    else:
        read_card(path)
        require_torch(path)
        chosen = choose_device(device)
        model = load_model(path, chosen)
        card = model.card
        predictor = model_predictor(
            model, chosen, settings=settings, scale=scale, cell_type=cell_type, tile=tile
        )
    # Training images have a known size, but those of a user may have any size.
    predictor.estimate = True
    return predictor, card

"""A model file as a predictor."""

from __future__ import annotations

from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.candidates import Candidates
from bigkingxxl.errors import InputError
from bigkingxxl.geometry import multiple
from bigkingxxl.inference.dense import DensePredictor
from bigkingxxl.inference.detector import DetectorPredictor
from bigkingxxl.inference.network import NetworkPredictor
from bigkingxxl.inference.pieces import checked_side
from bigkingxxl.inference.size.sizing import training_images
from bigkingxxl.methods.base import DenseMethod, Method
from bigkingxxl.methods.registry import make_method
from bigkingxxl.models import (
    ONNX_SUFFIX,
    Model,
    ModelCard,
    PredictionSettings,
    load_model,
    open_onnx,
    read_card,
    require_torch,
)

if TYPE_CHECKING:
    from onnxruntime import InferenceSession
    from torch import Tensor, nn

Float32 = NDArray[np.float32]


def choose_device(name: str) -> str:
    """'auto' becomes the best device at hand.

    Raises:
        InputError: a device that is not there.
    """
    import torch

    there = {"cpu": True, "cuda": torch.cuda.is_available(),
             "mps": torch.backends.mps.is_available()}  # fmt: skip
    if name == "auto":
        return next(kind for kind in ("cuda", "mps", "cpu") if there[kind])
    if name not in there:
        raise InputError(f"no device '{name}': choose auto, cpu, cuda or mps")
    if not there[name]:
        raise InputError(f"the device '{name}' is not available on this machine")
    return name


class TorchMaps:
    """A dense method's network as a maps function; bf16 where the device gains by it."""

    def __init__(self, method: DenseMethod, network: nn.Module, device: str) -> None:
        self.method, self.network, self.device = method, network, device

    def __call__(self, tiles: Float32) -> Float32:
        """float32[B, K, h, w] from float32[B, C, h, w]."""
        import torch

        with (
            torch.inference_mode(),
            torch.autocast(self.device, torch.bfloat16, enabled=self.device != "mps"),
        ):
            maps = self.method.maps(self.network, _on(self.device, tiles))
        return np.ascontiguousarray(maps.float().cpu().numpy())


class TorchDetections:
    """Any other method's network as a detect function; bf16 where the device gains by it."""

    def __init__(self, method: Method, network: nn.Module, device: str) -> None:
        import torch

        self.method, self.device = method, device
        # As the tiles, see `_on`: convolutions need not bring the two together each time.
        last = torch.channels_last
        self.network = network if device == "mps" else network.to(memory_format=last)

    def __call__(self, tiles: Float32) -> list[Candidates]:
        """The candidates of each of float32[B, C, h, w]."""
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

    It looks at one tile at a time, whatever threads ask: with all cores, in the memory of one. On
    processors larger batches take more memory and no less time.
    """

    def __init__(self, session: InferenceSession) -> None:
        self.session = session
        self._one_at_a_time = Lock()

    def __call__(self, tiles: Float32) -> Float32:
        """float32[B, K, h, w] from float32[B, C, h, w]."""
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
    """A loaded model as a predictor; settings, scale and cell type override the card's.

    Args:
        tile: at most so many network pixels per side are seen at once, in less memory and with the
            same result.
    Raises:
        InputError: the tile is too small for the same result.
    """
    method = make_method(model.card.method, model.card.settings, model.card.type_names)
    looks = _looks(model.card, method, settings, scale)
    if isinstance(method, DenseMethod):
        maps = TorchMaps(method, model.network, device)
        return DensePredictor(
            maps, method.representation, points=model.card.operating_points, cell_type=cell_type,
            zooms=method.zooms, **_piece(model.card, method, tile), **looks,
        )  # fmt: skip
    _piece(model.card, method, tile)
    detect = TorchDetections(method, model.network, device)
    limit = getattr(method.settings, "detections", None)
    return DetectorPredictor(detect, type_names=method.type_names, limit=limit, **looks)


def onnx_predictor(
    path: Path,
    *,
    settings: PredictionSettings | None = None,
    scale: float | None = None,
    cell_type: str | None = None,
    tile: int | None = None,
) -> tuple[DensePredictor, ModelCard]:
    """An exported model as a predictor, without torch; see `model_predictor`.

    Raises:
        InputError: its method is no dense one, or the tile is too small.
    """
    card, session = open_onnx(path)
    method = make_method(card.method, card.settings, card.type_names)
    if not isinstance(method, DenseMethod):
        raise InputError(
            f"{path}: the method '{card.method}' makes no maps to predict with; take its "
            ".safetensors file"
        )
    predictor = DensePredictor(
        OnnxMaps(session), method.representation, points=card.operating_points,
        cell_type=cell_type, zooms=method.zooms, **_piece(card, method, tile),
        **_looks(card, method, settings, scale),
    )  # fmt: skip
    return predictor, card


def _piece(card: ModelCard, method: Method, tile: int | None) -> dict[str, Any]:
    """What a `DensePredictor` takes to see tiles piece by piece."""
    own = multiple(card.prediction.tile, method.stride)
    side = checked_side(tile, own, method.context, method.stride)
    return {"piece": side, "context": method.context or 0}


def _looks(
    card: ModelCard, method: Method, settings: PredictionSettings | None, scale: float | None
) -> dict[str, Any]:
    """What a `NetworkPredictor` takes of a card."""
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
    """The predictor and the card of a model file; an .onnx one needs no torch.

    Args:
        device: of a torch model; an exported one runs on the CPU.
        settings, scale, cell_type, tile: see `model_predictor`.
    Raises:
        ModelError: the file is missing, damaged, not ours, or the runtime cannot run it.
        MissingExtraError: it needs torch, which is not installed.
    """
    predictor: NetworkPredictor
    if path.suffix == ONNX_SUFFIX:
        if device not in ("auto", "cpu"):
            raise InputError(f"{path} is an exported model: it runs on the cpu, not on '{device}'")
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
    # Training knows the size of its images; those of a user are of any.
    predictor.estimate = True
    return predictor, card

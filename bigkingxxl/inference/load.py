"""A model file as a predictor."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.errors import InputError
from bigkingxxl.inference.dense import DensePredictor
from bigkingxxl.methods.base import DenseMethod
from bigkingxxl.models import Model, ModelCard, PredictionSettings, load_model

if TYPE_CHECKING:
    from torch import nn

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

        batch = torch.from_numpy(tiles).to(self.device)
        if self.device != "mps":
            batch = batch.contiguous(memory_format=torch.channels_last)
        with (
            torch.inference_mode(),
            torch.autocast(self.device, torch.bfloat16, enabled=self.device != "mps"),
        ):
            maps = self.method.maps(self.network, batch)
        return np.ascontiguousarray(maps.float().cpu().numpy())


def model_predictor(
    model: Model,
    device: str = "cpu",
    *,
    settings: PredictionSettings | None = None,
    scale: float | None = None,
    cell_type: str | None = None,
) -> DensePredictor:
    """A loaded model as a predictor; settings, scale and cell type override the card's."""
    card, method = model.card, model.method
    if not isinstance(method, DenseMethod):
        raise InputError(f"the method '{card.method}' cannot be used for prediction yet")
    return DensePredictor(
        TorchMaps(method, model.network, device),
        method.representation,
        normalisation=card.normalisation,
        settings=settings or card.prediction,
        points=card.operating_points,
        stride=method.stride,
        scale=scale,
        training_pixel_size=card.pixel_size_um,
        cell_type=cell_type,
        image_channels=card.image_channels,
    )


def load_predictor(
    path: Path, device: str = "auto", **overrides: object
) -> tuple[DensePredictor, ModelCard]:
    """The predictor and the card of a model file; see `model_predictor`."""
    chosen = choose_device(device)
    model = load_model(path, chosen)
    return model_predictor(model, chosen, **overrides), model.card  # type: ignore[arg-type]

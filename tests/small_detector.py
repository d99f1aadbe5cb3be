"""A method without maps in which bright spots are cells, the smallest possible detector."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field
from scipy import ndimage
from torch import Tensor, nn

from bigkingxxl.candidates import Candidates
from bigkingxxl.methods.base import Batch, Crop, Method
from bigkingxxl.model_card import ModelCard
from bigkingxxl.model_files import save_model
from bigkingxxl.settings import Settings

PLACE = "tests.small_detector:Spots"  # for the registry of methods


class SpotsSettings(Settings):
    detections: int = Field(100, ge=1)


class Spots(Method):
    """Every connected region above the network's only weight, half the brightest, is a cell."""

    name: ClassVar[str] = "spots"
    Settings: ClassVar[type[Settings]] = SpotsSettings
    stride = 8

    def build(self) -> nn.Module:
        return nn.ParameterList([nn.Parameter(torch.tensor(1.0))])

    def targets(self, crop: Crop) -> Any:
        raise NotImplementedError

    def collate(self, targets: Sequence[Any]) -> Any:
        raise NotImplementedError

    def loss(self, network: nn.Module, batch: Batch) -> dict[str, Tensor]:
        raise NotImplementedError

    def detect(self, network: Any, tiles: Tensor) -> list[Candidates]:
        assert torch.is_inference_mode_enabled()
        assert tiles.shape[2] % self.stride == tiles.shape[3] % self.stride == 0
        return [self._spots(each) for each in (tiles[:, 0] > network[0]).numpy()]

    def _spots(self, bright: Any) -> Candidates:
        labels, count = ndimage.label(bright)
        kept = min(count, self.settings.detections)
        labels = np.where(labels <= kept, labels, 0).astype(np.int32)
        types = np.zeros((kept, len(self.type_names)), np.float32)
        types[:, -1] = 1
        return Candidates.from_label_map(
            labels, bright.astype(np.float32), np.full(kept, 0.9, np.float32), types,
            self.type_names,
        )  # fmt: skip


def save_spots(path: Path, type_names: tuple[str, ...], detections: int, **card: Any) -> Path:
    """A model file of it."""
    settings = {"detections": detections}
    weights = Spots(SpotsSettings(), type_names).build().state_dict()
    save_model(path, ModelCard(method="spots", settings=settings, type_names=type_names, **card),
               weights)  # fmt: skip
    return path

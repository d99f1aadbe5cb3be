"""L2-SP regularisation: weights are pulled towards the start, so that less of it is forgotten."""

from __future__ import annotations

from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor


class L2SP(Callback):
    """After each step, moves the weights towards the initial ones.

    The step is the fraction `strength` of the distance at the full learning rate and decreases with
    it, so that a training does not end where it started.

    Source: Li et al. 2018, "Explicit inductive bias for transfer learning with convolutional
    networks" (L2-SP), decoupled from the gradient as in AdamW.
    """

    def __init__(self, strength: float) -> None:
        self.strength = strength
        self.first: dict[str, Tensor] = {}

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any,
        batch_idx: int,
    ) -> None:  # fmt: skip
        """Move the weights towards the start."""
        module: Any = pl_module
        rate = trainer.optimizers[0].param_groups[0]["lr"] / module.recipe.training.learning_rate
        with torch.no_grad():
            for name, weight in module.network.named_parameters():
                weight.lerp_(self.first[name].to(weight.device), self.strength * rate)

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Store the initial weights before a checkpoint is loaded."""
        module: Any = pl_module
        if not self.first:
            self.first = {
                name: weight.detach().clone() for name, weight in module.network.named_parameters()
            }

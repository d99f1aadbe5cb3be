"""Detect a critic that diverged or collapsed, and keep its last good state."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from bigkingxxl.training.critic_trainer import CriticStep

EXPLODED = 1e4  # scores of a working critic are never as far from 0
FLAT = 1e-6  # a critic with a smaller spread of scores distinguishes nothing
PATIENCE = 50  # steps that a critic may be flat
KEPT_EVERY = 50  # steps between copies of the good state


@dataclass
class CriticWatch:
    """Monitors every step of a critic.

    Attributes:
        flat_steps: The number of consecutive steps in which the critic distinguished nothing.
        good: Copies of the states by name.
    """

    flat_steps: int = 0
    good: dict[str, Any] = field(default_factory=dict)

    def fault(self, step: CriticStep, slopes: Mapping[str, Tensor]) -> str | None:
        """Return a description of what is wrong, or None.

        Args:
            step: The results of the step.
            slopes: The gradients that will reach the generator, by their origin.
        """
        if not step.is_finite or step.largest > EXPLODED:
            return f"the critic exploded (a score of {step.largest:.3g})"
        bad = next((name for name, each in slopes.items() if not each.isfinite().all()), None)
        if bad is not None:
            return f"the critic's gradient on {bad} images is not a number"
        self.flat_steps = self.flat_steps + 1 if step.spread < FLAT else 0
        if self.flat_steps >= PATIENCE:
            return f"the critic collapsed (it distinguished nothing in {PATIENCE} steps)"
        return None

    def keep(self, step: int, parts: Mapping[str, nn.Module | torch.optim.Optimizer]) -> None:
        """Copy the states of a good step at intervals."""
        if step % KEPT_EVERY == 0 or not self.good:
            self.good = {name: copy.deepcopy(part.state_dict()) for name, part in parts.items()}

    def go_back(self, parts: Mapping[str, nn.Module | torch.optim.Optimizer]) -> None:
        """Restore the stored states."""
        for name, part in parts.items():
            part.load_state_dict(copy.deepcopy(self.good[name]))
        self.flat_steps = 0

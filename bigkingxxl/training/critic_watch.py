"""Notices a critic that exploded or collapsed, and keeps the last state that was good."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from bigkingxxl.training.critic_trainer import CriticStep

EXPLODED = 1e4  # no critic that learns scores as far from 0 as this
FLAT = 1e-6  # spread of scores below which a critic tells nothing apart
PATIENCE = 50  # learning steps that it may stay so
KEPT_EVERY = 50  # steps between copies of the good state


@dataclass
class CriticWatch:
    """Looks at every step of a critic.

    Attributes:
        flat_steps: steps in a row in which the critic told nothing apart.
        good: copies of the states, by name.
    """

    flat_steps: int = 0
    good: dict[str, Any] = field(default_factory=dict)

    def fault(self, step: CriticStep, slopes: Mapping[str, Tensor]) -> str | None:
        """What is wrong, in words, or None.

        Args:
            slopes: the gradients that are about to reach the generator, by what they come from.
        """
        if not step.is_finite or step.largest > EXPLODED:
            return f"the critic exploded (a score of {step.largest:.3g})"
        bad = next((name for name, each in slopes.items() if not each.isfinite().all()), None)
        if bad is not None:
            return f"the critic's gradient on {bad} images is no number"
        self.flat_steps = self.flat_steps + 1 if step.spread < FLAT else 0
        if self.flat_steps >= PATIENCE:
            return f"the critic collapsed (it told nothing apart in {PATIENCE} steps)"
        return None

    def keep(self, step: int, parts: Mapping[str, nn.Module | torch.optim.Optimizer]) -> None:
        """Copy the states of a good step, now and then."""
        if step % KEPT_EVERY == 0 or not self.good:
            self.good = {name: copy.deepcopy(part.state_dict()) for name, part in parts.items()}

    def go_back(self, parts: Mapping[str, nn.Module | torch.optim.Optimizer]) -> None:
        """Give the parts the kept states again."""
        for name, part in parts.items():
            part.load_state_dict(copy.deepcopy(self.good[name]))
        self.flat_steps = 0

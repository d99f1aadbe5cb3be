"""A critic at work: it learns, and it pulls predicted masks towards real ones."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from bigkingxxl.networks.critic import Critic
from bigkingxxl.training.adversarial_losses import (
    critic_loss,
    generator_loss,
    gradient_penalty,
)
from bigkingxxl.training.recipe import AdversarialSettings

BETAS = (0.0, 0.9)  # of the critic's Adam, as in Gulrajani et al. 2017


@dataclass(frozen=True)
class CriticStep:
    """What the critic saw in one step, as plain numbers.

    Attributes:
        loss: its whole loss; penalty: the gradient's part, unweighted.
        distance: mean score of real masks minus that of predicted ones.
        spread: standard deviation of all scores; largest: the score farthest from 0.
    """

    loss: float
    penalty: float
    distance: float
    spread: float
    largest: float

    @property
    def is_finite(self) -> bool:
        """Whether every number is one."""
        return all(map(math.isfinite, (self.loss, self.penalty, self.distance, self.largest)))


class CriticTrainer:
    """Teaches a critic and asks it. All in float32: penalties need gradients of gradients.

    Args:
        critic, optimizer: of its weights.
        settings: of the adversarial training; seed: of the places where the gradient is penalised.
    """

    def __init__(
        self, critic: Critic, optimizer: torch.optim.Optimizer, settings: AdversarialSettings,
        seed: int,
    ) -> None:  # fmt: skip
        self.critic, self.optimizer, self.settings = critic, optimizer, settings
        self.seed = seed

    def learn(self, images: Tensor, real: Tensor, fake: Tensor, step: int) -> CriticStep:
        """The critic's steps of one batch; returns the last one.

        Args:
            step: of the training: what is random depends on it and the seed alone.
            images: float[B, C, h, w]; real, fake: float[B, T, h, w] masks of the same images.
        """
        own = self.settings
        rng = torch.Generator().manual_seed(hash((self.seed, step)))
        with torch.autocast(images.device.type, enabled=False):
            images, real, fake = images.float(), real.float(), fake.detach().float()
            for _ in range(own.critic_steps):
                scores = self.critic(torch.cat((images, images)), torch.cat((real, fake)))
                true, false = scores.chunk(2)
                loss = critic_loss(own.game, real=true, fake=false)
                penalty = images.new_zeros(())
                if own.gradient_penalty > 0:
                    penalty = gradient_penalty(self.critic, images, real, fake, rng)
                self.optimizer.zero_grad()
                (loss + own.gradient_penalty * penalty).backward()  # type: ignore[no-untyped-call]
                self.optimizer.step()
        seen = scores.detach()
        return CriticStep(
            float(loss.detach()), float(penalty.detach()), float((true - false).mean().detach()),
            float(seen.std()), float(seen.abs().max()),
        )  # fmt: skip

    def pull(self, images: Tensor, layers: Tensor) -> tuple[Tensor, Tensor]:
        """The generator's adversarial loss, and its gradient at the masks float32[B, T, h, w].

        The gradient is handed on by hand, so that it can be looked at before it reaches any weight.
        """
        with torch.enable_grad(), torch.autocast(images.device.type, enabled=False):
            leaf = layers.detach().float().requires_grad_()
            loss = generator_loss(self.settings.game, fake=self.critic(images.float(), leaf))
            (slope,) = torch.autograd.grad(loss, leaf)
        return loss.detach(), slope

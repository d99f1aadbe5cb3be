"""Training of a critic, and the gradient that it gives to predicted masks."""

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
    """The results of a critic's step.

    Attributes:
        loss: The total loss.
        penalty: The gradient penalty without its weight.
        distance: The mean score of true masks minus that of predicted masks.
        spread: The standard deviation of all scores.
        largest: The score farthest from 0.
    """

    loss: float
    penalty: float
    distance: float
    spread: float
    largest: float

    @property
    def is_finite(self) -> bool:
        """Whether all values are finite."""
        return all(map(math.isfinite, (self.loss, self.penalty, self.distance, self.largest)))


class CriticTrainer:
    """Trains and applies a critic in float32, which second derivatives need.

    Args:
        critic: The critic.
        optimizer: The optimizer of its weights.
        settings: The settings of adversarial training.
        seed: The seed of the positions where the gradient is penalised.
    """

    def __init__(
        self, critic: Critic, optimizer: torch.optim.Optimizer, settings: AdversarialSettings,
        seed: int,
    ) -> None:  # fmt: skip
        self.critic, self.optimizer, self.settings = critic, optimizer, settings
        self.seed = seed

    def learn(self, images: Tensor, real: Tensor, fake: Tensor, step: int) -> CriticStep:
        """Take the critic's steps for one batch; return the last one.

        Args:
            images: float[B, C, h, w].
            real: float[B, T, h, w], the true masks of the images.
            fake: float[B, T, h, w], the predicted masks.
            step: The training step; random numbers depend only on it and the seed.
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
        """Return the generator's adversarial loss and its gradient with respect to the masks.

        The gradient, float32[B, T, h, w], is passed on explicitly so that it can be checked first.
        """
        with torch.enable_grad(), torch.autocast(images.device.type, enabled=False):
            leaf = layers.detach().float().requires_grad_()
            loss = generator_loss(self.settings.game, fake=self.critic(images.float(), leaf))
            (slope,) = torch.autograd.grad(loss, leaf)
        return loss.detach(), slope

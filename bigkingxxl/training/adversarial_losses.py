"""Adversarial losses: three kinds of losses for generator and critic, and the gradient penalty."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from bigkingxxl.training.recipe import Game

CriticFunction = Callable[[Tensor, Tensor], Tensor]


def critic_loss(game: Game, *, real: Tensor, fake: Tensor) -> Tensor:
    """Compute the critic's loss: true masks should have high scores and predicted ones low scores.

    Source: Arjovsky et al. 2017 (wasserstein), Lim and Ye 2017 (hinge), Mao et al. 2017 (least
    squares, with targets 1 and 0).
    """
    if game == "wasserstein":
        return fake.mean() - real.mean()
    if game == "hinge":
        return functional.relu(1 - real).mean() + functional.relu(1 + fake).mean()
    return ((real - 1).square().mean() + fake.square().mean()) / 2


def generator_loss(game: Game, *, fake: Tensor) -> Tensor:
    """Compute the generator's loss: predicted masks should have the scores of true ones."""
    if game == "least_squares":
        return (fake - 1).square().mean() / 2
    return -fake.mean()


def gradient_penalty(
    critic: CriticFunction, images: Tensor, real: Tensor, fake: Tensor, rng: torch.Generator
) -> Tensor:
    """Compute the gradient penalty between true and predicted masks.

    The score of an image is the mean over its patches. Source: Gulrajani et al. 2017.

    Args:
        critic: The critic.
        images: float[B, C, h, w].
        real: float[B, T, h, w], the true masks of the images.
        fake: float[B, T, h, w], the predicted masks.
        rng: Draws the positions between them.
    """
    share = torch.rand((len(real), 1, 1, 1), generator=rng).to(real.device)
    between = torch.lerp(fake, real, share).requires_grad_()
    score = critic(images, between).mean(dim=(1, 2, 3)).sum()
    (slope,) = torch.autograd.grad(score, between, create_graph=True)
    length = slope.flatten(1).norm(dim=1)
    penalty: Tensor = (length - 1).square().mean()
    return penalty


def softened(layers: Tensor, sigma: float) -> Tensor:
    """Blur true masks, so that the critic cannot recognise them by their hard edges.

    Args:
        layers: float[B, T, h, w].
        sigma: The standard deviation of the Gaussian in pixels; 0 changes nothing.
    """
    if sigma == 0:
        return layers
    reach = max(round(3 * sigma), 1)
    place = torch.arange(-reach, reach + 1, dtype=layers.dtype, device=layers.device)
    kernel = torch.exp(-(place**2) / (2 * sigma**2))
    kernel = kernel / kernel.sum()
    count = layers.shape[1]
    padded = functional.pad(layers, [reach] * 4, mode="replicate")
    rows = kernel.reshape(1, 1, -1, 1).expand(count, -1, -1, -1)
    columns = kernel.reshape(1, 1, 1, -1).expand(count, -1, -1, -1)
    blurred = functional.conv2d(padded, rows, groups=count)
    return functional.conv2d(blurred, columns, groups=count)

"""The adversarial losses, in cases whose answer is known."""

from __future__ import annotations

import pytest
import torch
from scipy import ndimage

from bigkingxxl.networks.critic import Critic
from bigkingxxl.training.adversarial_losses import (
    critic_loss,
    generator_loss,
    gradient_penalty,
    softened,
)
from bigkingxxl.training.critic_trainer import BETAS, CriticTrainer
from bigkingxxl.training.recipe import AdversarialSettings, Game


@pytest.mark.parametrize(
    ("game", "critic", "generator"),
    [
        ("wasserstein", -1 - 0.5, 1),
        ("hinge", (1 + 0) / 2 + 0, 1),
        ("least_squares", ((1 + 0) / 2 + 1) / 2, 4 / 2),
    ],
)
def test_losses_by_hand(game: Game, critic: float, generator: float) -> None:
    real, fake = torch.tensor([0.0, 1.0]), torch.tensor([-1.0, -1.0])
    assert float(critic_loss(game, real=real, fake=fake)) == pytest.approx(critic)
    assert float(generator_loss(game, fake=fake)) == pytest.approx(generator)


def test_the_penalty_of_a_linear_critic_is_its_slope() -> None:
    slope = torch.tensor([3.0, 4.0]).reshape(1, 2, 1, 1) / 16  # of the mean over 4 x 4 patches

    def linear(images: torch.Tensor, layers: torch.Tensor) -> torch.Tensor:
        return (layers * slope * 16).sum(dim=1, keepdim=True)

    layers = torch.rand(3, 2, 4, 4)
    rng = torch.Generator().manual_seed(0)
    penalty = gradient_penalty(linear, torch.zeros(3, 1, 4, 4), layers, 1 - layers, rng)
    # Each of the 32 places has a slope of 3/16 or 4/16: a length of 4 * 5 / 16 = 1.25.
    assert float(penalty) == pytest.approx((1.25 - 1) ** 2)


def test_softened_masks_are_those_of_a_gaussian_blur() -> None:
    layers = torch.zeros(2, 3, 40, 30)
    layers[:, :, 10:22, 5:20] = 1
    ours = softened(layers, 1.5)
    theirs = layers.numpy()
    for axis in (2, 3):
        theirs = ndimage.gaussian_filter1d(theirs, 1.5, axis=axis, mode="nearest", radius=4)
    assert torch.allclose(ours, torch.from_numpy(theirs), atol=1e-5)
    assert softened(layers, 0) is layers


@pytest.mark.parametrize("game", ["wasserstein", "hinge", "least_squares"])
def test_a_critic_distinguishes_masks_and_pulls_towards_true_ones(game: Game) -> None:
    torch.manual_seed(0)
    settings = AdversarialSettings(game=game, critic_width=4, critic_learning_rate=3e-3)
    critic = Critic(1, 1, settings.critic_width)
    adam = torch.optim.Adam(critic.parameters(), lr=settings.critic_learning_rate, betas=BETAS)
    teacher = CriticTrainer(critic, adam, settings, seed=0)
    images = torch.rand(4, 1, 32, 32)
    real, fake = torch.ones(4, 1, 32, 32) * 0.9, torch.ones(4, 1, 32, 32) * 0.2
    steps = [teacher.learn(images, real, fake, step) for step in range(60)]
    assert steps[-1].distance > steps[0].distance + 0.1
    _, slope = teacher.pull(images, fake)
    # Following the gradient downwards moves the output up, towards the real masks.
    assert float(slope.sum()) < 0


def test_the_critic_takes_images_of_any_size() -> None:
    critic = Critic(1, 3, 4)
    for side in (16, 48, 80):
        assert critic(torch.zeros(2, 1, side, 64), torch.zeros(2, 3, side, 64)).shape == (
            2, 1, side // 16, 4,
        )  # fmt: skip

"""Losses: correct sign, found by name, finite, and no channel ignored."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from bigkingxxl.decoding.losses import binary_cross_entropy, dice
from bigkingxxl.decoding.registry import make_representation

NAMES = ("astro", "cort")
DENSE = pytest.mark.parametrize("name", ["components", "watershed"])


def some_planes() -> tuple[NDArray[np.int32], NDArray[np.int16]]:
    """Two overlapping cells of different types, on two planes."""
    planes = np.zeros((2, 12, 16), np.int32)
    planes[0, 2:9, 2:9], planes[1, 5:11, 6:14] = 1, 2
    return planes, np.array([0, 1], np.int16)


def loss_and_gradient(
    name: str, logits: torch.Tensor, targets: NDArray[np.float32]
) -> tuple[float, NDArray[np.float32]]:
    representation = make_representation(name, NAMES)
    logits = logits.clone().requires_grad_()
    losses = representation.loss(logits=logits, targets=torch.from_numpy(targets)[None])
    losses["loss"].backward()
    assert logits.grad is not None
    return float(losses["loss"].detach()), logits.grad[0].float().numpy()


@DENSE
@pytest.mark.parametrize("level", [-4.0, 0.0, 4.0])
def test_the_gradient_raises_cells_and_lowers_background(name: str, level: float) -> None:
    targets = make_representation(name, NAMES).targets(*some_planes())
    _, gradient = loss_and_gradient(name, torch.full((1, *targets.shape), level), targets)
    for channel in range(len(NAMES)):
        assert (gradient[channel][targets[channel] == 1] < 0).all()
        assert (gradient[channel][targets[channel] == 0] > 0).all()


def test_the_distance_is_pulled_to_its_own_value() -> None:
    targets = make_representation("watershed", NAMES).targets(*some_planes())
    _, gradient = loss_and_gradient("watershed", torch.zeros((1, *targets.shape)), targets)
    np.testing.assert_array_equal(np.sign(gradient[-1]), np.sign(0.5 - targets[-1]))


@DENSE
def test_the_truth_has_a_smaller_loss_than_its_opposite(name: str) -> None:
    targets = make_representation(name, NAMES).targets(*some_planes())
    certain = torch.from_numpy(np.where(targets > 0.5, 6, -6).astype(np.float32))[None]
    right, _ = loss_and_gradient(name, certain, targets)
    wrong, _ = loss_and_gradient(name, -certain, targets)
    assert right < 0.5 * wrong


@DENSE
@pytest.mark.parametrize("level", [-20.0, 0.0, 20.0])
def test_a_crop_without_cells(name: str, level: float) -> None:
    nothing = np.zeros((1, 12, 16), np.int32)
    targets = make_representation(name, NAMES).targets(nothing, np.zeros(0, np.int16))
    assert not targets.any()
    loss, gradient = loss_and_gradient(name, torch.full((1, *targets.shape), level), targets)
    assert math.isfinite(loss)
    assert np.isfinite(gradient).all()


@DENSE
def test_half_precision_logits(name: str) -> None:
    targets = make_representation(name, NAMES).targets(*some_planes())
    logits = torch.linspace(-3, 3, targets.size).reshape(1, *targets.shape)
    loss, _ = loss_and_gradient(name, logits, targets)
    half, _ = loss_and_gradient(name, logits.bfloat16(), targets)
    assert half == pytest.approx(loss, rel=0.01)


@pytest.mark.parametrize("loss", [binary_cross_entropy, dice])
def test_prediction_and_target_are_named(loss: object) -> None:
    with pytest.raises(TypeError, match="positional"):
        loss(torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2))  # type: ignore[operator]


@DENSE
def test_a_representation_names_them_as_well(name: str) -> None:
    with pytest.raises(TypeError, match="positional"):
        make_representation(name, NAMES).loss(torch.zeros(1), torch.zeros(1))  # type: ignore[call-arg]


def test_cross_entropy_by_hand() -> None:
    logits, targets = torch.tensor([[[[0.0, 2.0]]]]), torch.tensor([[[[1.0, 0.25]]]])
    p = 1 / (1 + math.exp(-2))
    expected = (math.log(2) - 0.25 * math.log(p) - 0.75 * math.log(1 - p)) / 2
    assert float(binary_cross_entropy(logits=logits, targets=targets)) == pytest.approx(expected)


def test_dice_by_hand_over_the_batch_a_channel() -> None:
    # Two crops, two channels, one pixel each; the sigmoid of 0 is a half.
    logits = torch.zeros(2, 2, 1, 1)
    targets = torch.tensor([1.0, 0.0, 1.0, 0.0]).reshape(2, 2, 1, 1)
    first = 1 - 2 * (0.5 + 0.5) / (1 + 2)
    second = 1 - 0 / 1
    assert float(dice(logits=logits, targets=targets)) == pytest.approx((first + second) / 2, 1e-4)


def test_dice_is_monais() -> None:
    from monai.losses.dice import DiceLoss

    torch.manual_seed(0)
    logits = torch.randn(3, 2, 9, 7)
    targets = (torch.rand(3, 2, 9, 7) > 0.7).float()
    expected = DiceLoss(sigmoid=True, batch=True)(logits, targets)
    assert float(dice(logits=logits, targets=targets)) == pytest.approx(float(expected), abs=1e-6)

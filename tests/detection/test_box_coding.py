"""Box deltas: the same numbers as torchvision's own coder, and the inverse."""

from __future__ import annotations

import pytest
import torch
from torchvision.models.detection._utils import BoxCoder as Reference  # private: a reference only

from bigkingxxl.detection.box_coding import BoxCoder

WEIGHTS = (10.0, 10.0, 5.0, 5.0)


def boxes(count: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    low = torch.rand(count, 2, generator=generator) * 80
    return torch.cat((low, low + 1 + torch.rand(count, 2, generator=generator) * 40), dim=1)


@pytest.mark.parametrize("weights", [WEIGHTS, (20.0, 20.0, 10.0, 10.0)])
def test_it_writes_and_reads_as_torchvision_does(
    weights: tuple[float, float, float, float],
) -> None:
    one, two = boxes(50, 0), boxes(50, 1)
    ours, theirs = BoxCoder(weights), Reference(weights)
    deltas = ours.encode(one, two)
    torch.testing.assert_close(deltas, theirs.encode_single(one, two))
    many = torch.randn(50, 12, generator=torch.Generator().manual_seed(2)) * 30  # some too large
    found, expected = ours.decode(many, two), theirs.decode_single(many, two)
    torch.testing.assert_close(found, expected)


def test_encoding_and_decoding_are_inverse() -> None:
    one, two = boxes(50, 0), boxes(50, 1)
    coder = BoxCoder(WEIGHTS)
    torch.testing.assert_close(coder.decode(coder.encode(one, two), two), one, rtol=1e-4, atol=1e-3)


def test_no_boxes_are_fine() -> None:
    none = torch.zeros(0, 4)
    coder = BoxCoder(WEIGHTS)
    assert coder.encode(none, none).shape == (0, 4)
    assert coder.decode(torch.zeros(0, 4), none).shape == (0, 4)

"""Muon beside AdamW in one optimizer."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from torch import nn

from bigkingxxl.training.muon import Muon, matrices, orthogonal


def test_directions_become_equally_long() -> None:
    generator = torch.Generator().manual_seed(0)
    for shape in ((16, 90), (90, 16), (24, 48)):
        matrix = torch.randn(shape, generator=generator)
        found = torch.linalg.svdvals(orthogonal(matrix).float())
        assert float(found.min()) > 0.5
        assert float(found.max()) < 1.35
        # It has the singular vectors of the matrix: it points where the matrix points.
        u, _, v = torch.linalg.svd(matrix, full_matrices=False)
        assert float((orthogonal(matrix).float() * (u @ v)).sum() / min(shape)) > 0.8


def test_groups_without_muon_are_adamw() -> None:
    torch.manual_seed(0)
    ours, theirs = nn.Linear(5, 4), nn.Linear(5, 4)
    theirs.load_state_dict(ours.state_dict())
    options: dict[str, Any] = {"lr": 0.01, "weight_decay": 0.1}
    one = Muon([{"params": list(ours.parameters()), "muon": False}], **options)
    two = torch.optim.AdamW(theirs.parameters(), **options)
    for step in range(4):
        image = torch.full((2, 5), float(step))
        for network, optimizer in ((ours, one), (theirs, two)):
            optimizer.zero_grad()
            torch.autograd.backward(network(image).square().sum())
            optimizer.step()
    assert torch.equal(ours.weight, theirs.weight)
    assert torch.equal(ours.bias, theirs.bias)


def test_muon_learns_a_convolution_and_resumes() -> None:
    torch.manual_seed(0)
    wanted = nn.Conv2d(4, 6, 3, padding=1)
    image = torch.randn(8, 4, 12, 12)
    truth = wanted(image).detach()

    def steps(network: nn.Conv2d, optimizer: Muon, count: int) -> float:
        for _ in range(count):
            optimizer.zero_grad()
            loss = (network(image) - truth).square().mean()
            torch.autograd.backward(loss)
            optimizer.step()
        return float(loss.detach())

    def made() -> tuple[nn.Conv2d, Muon]:
        torch.manual_seed(1)
        network = nn.Conv2d(4, 6, 3, padding=1)
        groups = [{"params": [network.weight], "muon": True},
                  {"params": [network.bias], "muon": False}]  # fmt: skip
        return network, Muon(groups, lr=0.02, weight_decay=0.0)

    network, optimizer = made()
    first = steps(network, optimizer, 1)
    steps(network, optimizer, 30)
    again, resumed = made()
    again.load_state_dict(network.state_dict())
    resumed.load_state_dict(deepcopy(optimizer.state_dict()))
    assert steps(network, optimizer, 9) == steps(again, resumed, 9)
    assert steps(network, optimizer, 1) < first / 5


def test_only_layers_that_mix_channels_within_the_network_are_muons() -> None:
    network = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.Conv2d(8, 8, 3, groups=8), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 1),
        nn.Conv2d(8, 8, 1), nn.Conv2d(8, 2, 1),
    )  # fmt: skip
    found = {id(weight) for weight in matrices(network)}
    assert found == {id(network[place].weight) for place in (3, 4)}

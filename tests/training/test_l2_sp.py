"""Weights that are pulled back towards the start of a training."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch

from bigkingxxl.training.l2_sp import L2SP


def test_a_step_reduces_the_distance_by_a_fraction() -> None:
    network = torch.nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        network.weight.fill_(1.0)
    training = SimpleNamespace(learning_rate=0.1)
    module: Any = SimpleNamespace(network=network, recipe=SimpleNamespace(training=training))
    trainer: Any = SimpleNamespace(optimizers=[SimpleNamespace(param_groups=[{"lr": 0.05}])])
    pull = L2SP(0.5)
    pull.setup(trainer, module, "fit")
    with torch.no_grad():
        network.weight.fill_(3.0)
    pull.on_train_batch_end(trainer, module, None, None, 0)
    # Half the strength at half the learning rate: a quarter of the way from 3 to 1.
    assert network.weight.tolist() == [[2.5, 2.5]]

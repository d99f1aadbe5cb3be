"""Forward passes that do not change the running statistics of batch norms."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from bigkingxxl.networks.replace_layers import BATCH_NORMS


@contextmanager
def frozen_batch_statistics(network: nn.Module) -> Iterator[None]:
    """Within the block, batch norms normalise with their batch but do not update statistics."""
    norms = [
        each
        for each in network.modules()
        if isinstance(each, BATCH_NORMS) and each.training and each.track_running_stats
    ]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True

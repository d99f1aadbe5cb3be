"""The mean of two models' weights: what the one knows and what the other learnt from there on.

python docs/mean_of_models.py FIRST SECOND OUT [share of the second, 0.5]

The second has to be trained from the first; the card is the second's. Source: Wortsman et al. 2022,
"Robust fine-tuning of zero-shot models".
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from bigkingxxl.models import load_model, model_hash, save_model


def main() -> None:
    """Load, average, save."""
    first, second, out = map(Path, sys.argv[1:4])
    share = float(sys.argv[4]) if len(sys.argv) > 4 else 0.5
    before, model = load_model(first).network.state_dict(), load_model(second)
    weights = {
        name: torch.lerp(before[name], tensor, share) if tensor.is_floating_point() else tensor
        for name, tensor in model.network.state_dict().items()
    }
    parts = {"models": [model_hash(first), model_hash(second)], "share_of_the_second": share}
    made = {**model.card.provenance, "mean_of": parts}
    save_model(out, model.card.changed(provenance=made), weights)


if __name__ == "__main__":
    main()

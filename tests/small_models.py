"""A network small enough to be made in a test: its card and untrained weights."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from bigkingxxl.model_card import ModelCard

if TYPE_CHECKING:
    from torch import Tensor

SMALL_UNETR: dict[str, Any] = {
    "representation": "watershed", "image_size": 32, "feature_size": 4, "hidden_size": 16,
    "mlp_dim": 32, "heads": 2, "pyramid": "", "imagenet": False,
}  # fmt: skip


def small_card(type_names: tuple[str, ...], **values: Any) -> ModelCard:
    """The card of a small UNETR."""
    return ModelCard(method="unetr", settings=SMALL_UNETR, type_names=type_names, **values)


@cache
def small_weights(type_names: tuple[str, ...]) -> dict[str, Tensor]:
    """Its weights: random, the same every time."""
    import torch

    from bigkingxxl.methods.registry import make_method

    torch.manual_seed(0)
    return dict(make_method("unetr", SMALL_UNETR, type_names).build().state_dict())

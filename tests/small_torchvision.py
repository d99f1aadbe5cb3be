"""torchvision's Mask R-CNN with random weights, in place of its published files."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models import resnet18, resnet34
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.ops.misc import FrozenBatchNorm2d

SIZE = (96, 128)
SMALL: dict[str, Any] = {
    "backbone": "resnet18", "image_channels": 3, "channels": 16, "box_width": 32,
    "mask_width": 16, "mask_depth": 2,
}  # fmt: skip
BODIES = {"resnet18": resnet18, "resnet34": resnet34}
LEVELS = {f"layer{k}": str(k - 1) for k in range(1, 5)}


def small_assignments(**settings: Any) -> list[str]:
    """The `--set` options that give the recipe torchvision_v1 the small network."""
    return [f"settings.{key}={value}" for key, value in (SMALL | settings).items()]


@cache
def small_mask_rcnn(
    types: int, *, body: str = "resnet18", frozen: bool = True, **options: Any
) -> MaskRCNN:
    """A calibrated network of few channels, whose norms are frozen as in the published file or not.

    Returns the same model for the same arguments, which must not be changed.
    """
    torch.manual_seed(0)
    model = calibrated(_small(types, body, nn.BatchNorm2d, options))
    if not frozen:
        return model
    return as_frozen(model, _small(types, body, FrozenBatchNorm2d, options))


def _small(types: int, body: str, norm: Any, options: dict[str, Any]) -> MaskRCNN:
    backbone = BackboneWithFPN(BODIES[body](norm_layer=norm), LEVELS, [64, 128, 256, 512], 16)
    sizes = tuple((float(2**k),) for k in range(5, 10))
    return MaskRCNN(
        backbone, rpn_anchor_generator=AnchorGenerator(sizes, ((0.5, 1.0, 2.0),) * 5),
        box_head=TwoMLPHead(16 * 49, 32), box_predictor=FastRCNNPredictor(32, types + 1),
        mask_head=MaskRCNNHeads(16, [16, 16], 1),
        mask_predictor=MaskRCNNPredictor(16, 16, types + 1), min_size=SIZE[0], **options,
    )  # fmt: skip


def as_frozen(model: MaskRCNN, frozen: MaskRCNN, eps: float = 0.0) -> MaskRCNN:
    """The weights in a model of frozen norms; torchvision's published one adds no epsilon."""
    frozen.load_state_dict(model.state_dict())
    for layer in frozen.modules():
        if isinstance(layer, FrozenBatchNorm2d):
            layer.eps = eps
    return frozen.eval()


def images(count: int = 2) -> Tensor:
    """float32[B, 3, *SIZE], as if normalised."""
    return torch.randn(count, 3, *SIZE, generator=torch.Generator().manual_seed(1))


def calibrated(model: MaskRCNN) -> MaskRCNN:
    """Set random weights with measured statistics, and with confident proposals and types."""
    norms = {n: each for n, each in model.named_modules() if isinstance(each, nn.BatchNorm2d)}
    seen = images()
    boxes = [torch.tensor([[8.0, 8.0, 60.0, 70.0], [30.0, 20.0, 120.0, 90.0]])] * len(seen)
    heads = model.roi_heads
    with torch.no_grad():
        # Some channels hardly vary: there a wrong epsilon would show.
        model.backbone.body.conv1.weight[::4] *= 1e-3
        for name, norm in norms.items():
            norm.momentum = 1.0
            norm.weight.uniform_(0.5, 1.0)
            norm.weight.mul_(0.3 if name.endswith(("bn3", "layer.bn2")) else 1.0)
            norm.bias.normal_(0, 0.1)
        levels = model.train().backbone(seen)
        heads.box_head(heads.box_roi_pool(levels, boxes, [SIZE] * len(seen)))
        heads.mask_head(heads.mask_roi_pool(levels, boxes, [SIZE] * len(seen)))
        for norm in norms.values():
            norm.momentum = 0.1
            variance = norm.running_var
            assert variance is not None
            variance.mul_(torch.empty_like(variance).uniform_(0.8, 1.25))
        model.rpn.head.cls_logits.weight *= 20
        model.rpn.head.bbox_pred.weight *= 2
        heads.box_predictor.cls_score.weight *= 6
    return model.eval()


def older_names(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The names of the same tensors in torchvision's first published file."""
    return {_older(name): tensor for name, tensor in weights.items()}


def _older(name: str) -> str:
    if name.startswith("backbone.fpn."):
        name = name.replace(".0.weight", ".weight").replace(".0.bias", ".bias")
    for k in range(4):
        name = name.replace(f"mask_head.{k}.0.", f"mask_head.mask_fcn{k + 1}.")
    return name.replace("rpn.head.conv.0.0.", "rpn.head.conv.")


def saved(weights: dict[str, Tensor], path: Path) -> Path:
    """The file of a state."""
    if path.suffix == ".safetensors":
        from safetensors.torch import save_file

        save_file(weights, str(path))
    else:
        torch.save(weights, path)
    return path

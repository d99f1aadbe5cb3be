"""How torchvision's Mask R-CNN names what is ours, in its files of today and of its first years."""

from __future__ import annotations

import re

from torchvision.models.detection import MaskRCNN_ResNet50_FPN_Weights

# Pattern and what takes its place, the older names first.
NAMES = (
    (r"^(backbone\.fpn\.(?:inner|layer)_blocks\.\d+)\.(weight|bias)$", r"\1.0.\2"),
    (r"^rpn\.head\.conv\.(weight|bias)$", r"rpn.head.conv.0.0.\1"),
    (r"^roi_heads\.box_head\.", "box_heads.0.head."),
    (r"^roi_heads\.box_predictor\.", "box_heads.0.predictor."),
    (r"^roi_heads\.mask_head\.", "mask_head.head."),
    (r"^roi_heads\.mask_predictor\.", "mask_head.predictor."),
)
MASK_LAYER = re.compile(r"^mask_head\.head\.mask_fcn(\d+)\.")
TYPES = "box_heads.0.predictor.cls_score.bias"  # has a row for background and each type


def our_name(name: str) -> str:
    """The name in a `RegionNetwork` of one box head of a tensor of torchvision's Mask R-CNN."""
    for pattern, ours in NAMES:
        name = re.sub(pattern, ours, name)
    return MASK_LAYER.sub(lambda found: f"mask_head.head.{int(found[1]) - 1}.0.", name)


def published_types() -> tuple[str, ...]:
    """The 90 types that torchvision's published detectors tell apart; COCO left some unused."""
    names: list[str] = MaskRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"]
    return tuple(
        name if name != "N/A" else f"unused_{place}" for place, name in enumerate(names) if place
    )

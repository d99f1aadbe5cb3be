"""The names of our weights in torchvision's Mask R-CNN files, current and early ones."""

from __future__ import annotations

import re

from torchvision.models.detection import MaskRCNN_ResNet50_FPN_Weights

# Patterns and replacements, the older names first.
NAMES = (
    (r"^(backbone\.fpn\.(?:inner|layer)_blocks\.\d+)\.(weight|bias)$", r"\1.0.\2"),
    (r"^rpn\.head\.conv\.(weight|bias)$", r"rpn.head.conv.0.0.\1"),
    (r"^roi_heads\.box_head\.", "box_heads.0.head."),
    (r"^roi_heads\.box_predictor\.", "box_heads.0.predictor."),
    (r"^roi_heads\.mask_head\.", "mask_head.head."),
    (r"^roi_heads\.mask_predictor\.", "mask_head.predictor."),
)
MASK_LAYER = re.compile(r"^mask_head\.head\.mask_fcn(\d+)\.")
TYPES = "box_heads.0.predictor.cls_score.bias"  # has a row for the background and for each type


def our_name(name: str) -> str:
    """Convert the name of a tensor of torchvision's Mask R-CNN to that in a `RegionNetwork`."""
    for pattern, ours in NAMES:
        name = re.sub(pattern, ours, name)
    return MASK_LAYER.sub(lambda found: f"mask_head.head.{int(found[1]) - 1}.0.", name)


def published_types() -> tuple[str, ...]:
    """Return the 90 types of torchvision's published detectors; some are unused in COCO."""
    names: list[str] = MaskRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"]
    return tuple(
        name if name != "N/A" else f"unused_{place}" for place, name in enumerate(names) if place
    )

"""Mask R-CNN (He et al. 2017) with a feature pyramid over any of timm's backbones."""

from __future__ import annotations

from typing import ClassVar

from bigkingxxl.methods.rcnn import Rcnn


class MaskRcnn(Rcnn):
    """One stage of boxes, one mask head."""

    name: ClassVar[str] = "mask_rcnn"

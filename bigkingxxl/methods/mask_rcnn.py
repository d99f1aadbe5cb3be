"""Mask R-CNN (He et al. 2017) with a feature pyramid over any timm backbone."""

from __future__ import annotations

from typing import ClassVar

from bigkingxxl.methods.rcnn import Rcnn


class MaskRcnn(Rcnn):
    """One box stage and one mask head."""

    name: ClassVar[str] = "mask_rcnn"

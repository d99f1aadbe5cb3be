"""Cascade Mask R-CNN (Cai and Vasconcelos 2018): each stage refines the previous boxes."""

from __future__ import annotations

from typing import ClassVar

from bigkingxxl.methods.rcnn import Rcnn


class CascadeRcnn(Rcnn):
    """Three box stages with increasing IoU thresholds, and one mask head after the last."""

    name: ClassVar[str] = "cascade_rcnn"
    stages: ClassVar[int] = 3

"""Cascade Mask R-CNN (Cai and Vasconcelos 2018): each stage starts from the boxes of the last."""

from __future__ import annotations

from typing import ClassVar

from bigkingxxl.methods.rcnn import Rcnn


class CascadeRcnn(Rcnn):
    """Three stages of boxes that ask for more and more overlap, one mask head after the last."""

    name: ClassVar[str] = "cascade_rcnn"
    stages: ClassVar[int] = 3

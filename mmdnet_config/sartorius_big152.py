"""Cascade Mask R-CNN, ResNet-152: the bigger recipe over a deeper backbone.

    bigkingxxl train mmdnet_config/sartorius_big152.py --data DIR --out RUN

For one GPU of 40 GB; as `sartorius_big2.py` but for backbone, batch and mask size.
"""

extends = "sartorius_big101"
settings = {"backbone": "resnet152"}

"""Mask R-CNN, ResNet-101, from scratch: what the team trained in Detectron2.

    bigkingxxl train detectron/mask_rcnn_r101.py --data DIR --out RUN

For one GPU of 16 GB. Group norms learn from small batches, which batch norms do not.
"""

extends = "mask_rcnn_r50"
settings = {"backbone": "resnet101"}

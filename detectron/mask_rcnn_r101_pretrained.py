"""Mask R-CNN, ResNet-101, pretrained: on ImageNet, and on any set before this one.

    bigkingxxl train detectron/mask_rcnn_r101_pretrained.py --data LIVECELL --out PRETRAINED
    bigkingxxl train detectron/mask_rcnn_r101_pretrained.py --data DIR --out RUN
        --init PRETRAINED/model.safetensors

For one GPU of 16 GB. The second training keeps all but the rows of cell types that are new to it.
(Its command is one line.)
"""

extends = "mask_rcnn_r50_pretrained"
settings = {"backbone": "resnet101"}

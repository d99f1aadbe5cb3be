"""Mask R-CNN, ResNet-50, pretrained: on ImageNet, and on any set before this one.

    bigkingxxl train detectron/mask_rcnn_r50_pretrained.py --data LIVECELL --out PRETRAINED
    bigkingxxl train detectron/mask_rcnn_r50_pretrained.py --data DIR --out RUN
        --init PRETRAINED/model.safetensors

For one GPU of 16 GB. The second training keeps all but the rows of cell types that are new to it.
(Its command is one line.)
"""

method = "mask_rcnn"
settings = {
    "backbone": "resnet50",
    "pretrained": "hub",
    "norm": "frozen",
    "anchor_sizes": ((4.0, 8.0), (16.0, 24.0), (32.0, 48.0), (64.0, 96.0), (128.0, 192.0)),
}
augment = {"size": 800, "zoom": (3.0, 4.6)}
training = {
    "epochs": 20,
    "crops_per_epoch": 3000,
    "batch_size": 4,
    "learning_rate": 2e-4,
    "warmup_steps": 500,
    "averaging": 0.999,
    "validation_images": 24,
}
prediction = {"scale": 3.85, "tile": 1088, "overlap": 192, "batch_size": 1}

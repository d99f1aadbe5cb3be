"""Mask R-CNN, ResNet-50, from scratch: what the team trained in Detectron2.

    bigkingxxl train detectron/mask_rcnn_r50.py --data DIR --out RUN

For one GPU of 16 GB. Group norms learn from small batches, which batch norms do not.
"""

method = "mask_rcnn"
settings = {
    "backbone": "resnet50",
    "pretrained": "none",
    "norm": "group",
    "anchor_sizes": ((4.0, 8.0), (16.0, 24.0), (32.0, 48.0), (64.0, 96.0), (128.0, 192.0)),
}
augment = {"size": 800, "zoom": (3.0, 4.6)}
training = {
    "epochs": 36,
    "crops_per_epoch": 3000,
    "batch_size": 4,
    "learning_rate": 4e-4,
    "warmup_steps": 500,
    "averaging": 0.999,
    "validation_images": 24,
}
prediction = {"scale": 3.85, "tile": 1088, "overlap": 192, "batch_size": 1}

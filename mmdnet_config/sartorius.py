"""Cascade Mask R-CNN, ResNet-50: the team's first MMDetection config.

    bigkingxxl train mmdnet_config/sartorius.py --data DIR --out RUN

For one GPU of 16 GB. Tiles of about 208 pixels are enlarged to 800; anchors from 4 pixels of the
enlarged image on. ImageNet weights come from timm's hub; without a network give a file of them,
`--set settings.pretrained=FILE`, or `none`.
"""

method = "cascade_rcnn"
settings = {
    "backbone": "resnet50",
    "pretrained": "hub",
    "norm": "frozen",  # batches of four crops are too small for batch norm
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

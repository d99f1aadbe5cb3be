"""Cascade Mask R-CNN, ResNet-50, the bigger recipe: finer, longer, more augmentation.

    bigkingxxl train mmdnet_config/sartorius_big2.py --data DIR --out RUN

For one GPU of 24 GB; as `sartorius.py` but for what stands here.
"""

method = "cascade_rcnn"
settings = {
    "backbone": "resnet50",
    "pretrained": "hub",
    "norm": "frozen",
    "anchor_sizes": ((4.0, 8.0), (16.0, 24.0), (32.0, 48.0), (64.0, 96.0), (128.0, 192.0)),
    "mask_side": 56,  # outlines twice as fine
    "proposals": (2000, 4000),
}
augment = {
    "size": 1024,
    "zoom": (3.5, 6.5),
    "stretch": 1.25,
    "contrast": 0.4,
    "brightness": 0.3,
    "gamma": 1.4,
    "noise": 0.1,
    "blur": 1.0,
}
training = {
    "epochs": 48,
    "crops_per_epoch": 3000,
    "batch_size": 4,
    "learning_rate": 2e-4,
    "warmup_steps": 500,
    "averaging": 0.9995,
    "label_policy": "fill_holes",
    "validation_images": 24,
}
prediction = {"scale": 4.8, "tile": 1344, "overlap": 224, "batch_size": 1, "tta": "mirror"}

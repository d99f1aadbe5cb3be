"""Mask R-CNN, Swin-S: multi-scale training with AdamW, as the team's Swin config.

    bigkingxxl train mmdnet_config/sartorius_swin.py --data DIR --out RUN

For one GPU of 24 GB. Swin has layer norms: nothing needs freezing, and small batches do no harm.
"""

method = "mask_rcnn"
settings = {
    "backbone": "swin_small_patch4_window7_224",
    "pretrained": "hub",
    "anchor_sizes": ((4.0, 8.0), (16.0, 24.0), (32.0, 48.0), (64.0, 96.0), (128.0, 192.0)),
}
augment = {"size": 800, "zoom": (2.0, 5.5)}  # multi-scale: short sides of 400 to 1,150 for a tile
training = {
    "epochs": 36,
    "crops_per_epoch": 3000,
    "batch_size": 4,
    "optimizer": "adamw",
    "learning_rate": 1e-4,
    "weight_decay": 0.05,
    "warmup_steps": 1000,
    "averaging": 0.999,
    "validation_images": 24,
}
prediction = {"scale": 3.85, "tile": 1088, "overlap": 192, "batch_size": 1}

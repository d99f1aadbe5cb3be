"""Mask R-CNN, Swin-S: multi-scale training with AdamW, as the team's Swin config.

    bigkingxxl train mmdnet_config/sartorius_swin.py --data DIR --out RUN

For one GPU of 24 GB. Swin has layer norms: nothing needs freezing, and small batches do no harm.
"""

extends = "sartorius"
without = ["settings.norm"]
method = "mask_rcnn"
settings = {"backbone": "swin_small_patch4_window7_224"}
augment = {"zoom": (2.0, 5.5)}  # multi-scale: short sides of 400 to 1,150 for a tile
training = {
    "epochs": 36,
    "optimizer": "adamw",
    "learning_rate": 1e-4,
    "weight_decay": 0.05,
    "warmup_steps": 1000,
}

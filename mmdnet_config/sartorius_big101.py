"""Cascade Mask R-CNN, ResNet-101: the bigger recipe over a deeper backbone.

    bigkingxxl train mmdnet_config/sartorius_big101.py --data DIR --out RUN

For one GPU of 24 GB; as `sartorius_big2.py` but for backbone, batch and mask size.
"""

extends = "sartorius_big2"
without = ["settings.mask_side"]
settings = {"backbone": "resnet101"}
training = {"batch_size": 2, "learning_rate": 1e-4, "warmup_steps": 1000}

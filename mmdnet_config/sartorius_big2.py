"""Cascade Mask R-CNN, ResNet-50, the bigger recipe: finer, longer, more augmentation.

    bigkingxxl train mmdnet_config/sartorius_big2.py --data DIR --out RUN

For one GPU of 24 GB; as `sartorius.py` but for what stands here.
"""

extends = "sartorius"
settings = {
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
training = {"epochs": 48, "averaging": 0.9995, "label_policy": "fill_holes"}
prediction = {"scale": 4.8, "tile": 1344, "overlap": 224, "tta": "mirror"}

"""Small Cascade Mask R-CNN: EfficientNet-Lite, about an hour on two CPU cores."""

method = "cascade_rcnn"
settings = {
    "backbone": "tf_efficientnet_lite0",
    "pretrained": "packaged",
    "channels": 96,
    "box_width": 384,
    "mask_width": 96,
    "roi_samples": 1,
    "regions": 96,
    "positive_share": 0.5,
    "rpn_samples": 128,
    "proposals": (500, 2000),
    "anchor_sizes": ((16.0, 24.0), (32.0, 48.0), (64.0, 96.0), (128.0, 192.0), (256.0, 384.0)),
}
augment = {"size": 256, "zoom": (1.5, 2.6)}
training = {
    "epochs": 100,
    "max_minutes": 60,
    "crops_per_epoch": 2400,
    "optimizer": "muon",
    "batch_size": 4,
    "learning_rate": 1e-3,
    "averaging": 0.995,
    "label_policy": "fill_holes",
    "patience": 1000,
    "validation_images": 9,
}
# Cells are small: tiles of the image are enlarged twice.
prediction = {"scale": 2.0, "tile": 704, "overlap": 128, "batch_size": 1}

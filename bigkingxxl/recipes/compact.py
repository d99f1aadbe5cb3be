"""Compact network with flows: the strongest method for two CPU cores."""

method = "compact"
settings = {"representation": "flows"}
augment = {"size": 256, "zoom": (1.0, 2.2)}
training = {
    "epochs": 100,
    "max_minutes": 80,
    "crops_per_epoch": 1600,
    "batch_size": 8,
    "learning_rate": 2e-3,
    "label_policy": "fill_holes",
    "validation_images": 16,
}
prediction = {"scale": 1.5, "tile": 1088, "overlap": 64}

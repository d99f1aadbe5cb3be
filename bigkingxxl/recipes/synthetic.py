"""The synthetic model: compact, on simulated images alone.

    bigkingxxl data synthesize SYNTHETIC --images 160 --seed 1
    bigkingxxl train synthetic --data SYNTHETIC --fold 0

38 minutes of training on two CPU cores.
"""

method = "compact"
settings = {"representation": "flows"}
augment = {"size": 256, "zoom": (1.0, 2.2), "contrast": 0.4}
training = {
    "epochs": 100,
    "max_minutes": 38,
    "crops_per_epoch": 1600,
    "batch_size": 8,
    "learning_rate": 2e-3,
    "validation_images": 8,
}
prediction = {"scale": 1.5, "tile": 1088, "overlap": 64}

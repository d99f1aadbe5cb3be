"""Tiny UNETR for the demo: three minutes on two CPU cores."""

method = "unetr"
settings = {
    "representation": "watershed",
    "image_size": 128,
    "feature_size": 16,
    "hidden_size": 96,
    "mlp_dim": 192,
    "heads": 4,
}
augment = {"size": 128, "zoom": (1.0, 1.6)}
training = {
    "epochs": 30,
    "max_minutes": 2.5,
    "crops_per_epoch": 640,
    "batch_size": 8,
    "learning_rate": 3e-3,
    "warmup_steps": 20,
    "averaging": 0.98,
    "validation_images": 6,
}
prediction = {"scale": 1.3, "tile": 256, "overlap": 48}

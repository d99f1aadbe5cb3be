"""Small UNETR with a seeded watershed: about an hour on two CPU cores."""

method = "unetr"
settings = {
    "representation": "watershed",
    "image_size": 256,
    "feature_size": 16,
    "hidden_size": 128,
    "mlp_dim": 384,
    "heads": 4,
}
augment = {"size": 256, "zoom": (1.0, 2.0)}
training = {
    "epochs": 100,
    "max_minutes": 60,
    "crops_per_epoch": 1600,
    "batch_size": 8,
    "learning_rate": 1.5e-3,
    "validation_images": 16,
}
# Cells are small: enlarged twice, their borders span several pixels of the network.
prediction = {"scale": 1.5, "tile": 512, "overlap": 64}

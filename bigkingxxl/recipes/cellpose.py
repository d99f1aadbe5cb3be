"""Cellpose from its 'nuclei' network, as the team trained it; 80 minutes on two CPU cores."""

method = "cellpose"
# Downloaded by the library where it is not yet; a file of Cellpose's serves too.
settings = {"start": "nuclei"}
# 'nuclei' knows cells of 17 pixels: images are brought to that, by type.
augment = {
    "size": 224,
    "diameter": 17,
    "zoom": (0.75, 1.25),
    "stretch": 1.0,
    "gamma": 1.0,
    "contrast": 0.1,
    "brightness": 0.1,
    "noise": 0.0,
    "blur": 0.0,
}
training = {
    "epochs": 100,
    "max_minutes": 80,
    "crops_per_epoch": 400,
    "batch_size": 8,
    "learning_rate": 5e-4,
    "weight_decay": 1e-5,
    "label_policy": "fill_holes",
    "validation_images": 16,
    # Judged by the competition's mAP, not by a loss: where it no longer rises, training ends.
    "patience": 15,
}
# Percentiles as Cellpose has them.
normalisation = {"low": 1, "high": 99, "zero": "low", "limit": 50}
prediction = {"tile": 224, "overlap": 32}

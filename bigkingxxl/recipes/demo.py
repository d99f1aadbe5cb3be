"""Compact network for the demo: under four minutes on two CPU cores."""

method = "compact"
settings = {"representation": "flows"}
# All images come from one simulator: a narrow range of views is learnt sooner.
augment = {"size": 128, "zoom": (1.2, 1.6), "contrast": 0.1, "brightness": 0.05, "blur": 0.0}
training = {
    "epochs": 40,
    "max_minutes": 3.8,
    "crops_per_epoch": 1200,
    "batch_size": 8,
    "learning_rate": 4e-3,
    "warmup_steps": 20,
    "averaging": 0.98,
    "validation_images": 6,
}
prediction = {"scale": 1.4, "tile": 256, "overlap": 32}
# After so short a training only the surest cells are right.
operating_points = {"default": {"select": {"score_threshold": 0.5, "minimum_area": 30}}}

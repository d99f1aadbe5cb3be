"""Cellpose from scratch, cells brought to 30 pixels; 80 minutes on two CPU cores."""

extends = "cellpose"
without = ["settings.start"]
augment = {"diameter": 30, "contrast": 0.25, "brightness": 0.2}
training = {"learning_rate": 2e-3}

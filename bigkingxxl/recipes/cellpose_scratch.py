"""Cellpose from scratch, cells brought to 30 pixels; 80 minutes on two CPU cores."""

from bigkingxxl.recipes.cellpose import augment as _augment
from bigkingxxl.recipes.cellpose import normalisation, prediction
from bigkingxxl.recipes.cellpose import training as _training

__all__ = ["augment", "method", "normalisation", "prediction", "training"]

method = "cellpose"
augment = {**_augment, "diameter": 30, "contrast": 0.25, "brightness": 0.2}
training = {**_training, "learning_rate": 2e-3}

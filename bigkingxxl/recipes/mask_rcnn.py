"""Small Mask R-CNN: EfficientNet-Lite, about an hour on two CPU cores; all else as the Cascade."""

from bigkingxxl.recipes.cascade_rcnn import augment, prediction, settings, training

__all__ = ["augment", "method", "prediction", "settings", "training"]

method = "mask_rcnn"

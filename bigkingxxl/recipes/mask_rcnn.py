"""Small Mask R-CNN: EfficientNet-Lite, about an hour on two CPU cores; all else as the Cascade."""

extends = "cascade_rcnn"
method = "mask_rcnn"

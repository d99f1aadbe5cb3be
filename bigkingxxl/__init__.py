"""Cell instance segmentation for label-free microscopy."""

__version__ = "0.1.0"

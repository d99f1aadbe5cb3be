"""What detectors do with boxes: matching, sampling, losses, RoI masks; torch, no modules."""

"""What detectors do with regions: targets, losses, results, masks; torch, no modules."""

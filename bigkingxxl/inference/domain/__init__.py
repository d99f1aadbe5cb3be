"""How an image differs from the training images: statistics, contrast polarity, warnings."""

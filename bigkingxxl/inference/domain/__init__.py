"""Domain shift: how an image differs from the training images, and how far to trust its cells.

What belongs here: image statistics, contrast polarity, warnings and the expected quality. What does
not: estimating the size of cells (`inference.size`).
"""

"""Domain shift: how an image differs from the training images, and what that means for its cells.

What belongs here: image statistics, contrast polarity, warnings and the expected quality. What does
not: judging how large cells are (`inference.size`).
"""

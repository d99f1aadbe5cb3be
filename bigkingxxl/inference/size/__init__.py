"""The size of the cells in an image: given, derived from the file, or measured by the network.

What belongs here: the scale ratio between an image and the training images. What does not: other
differences from the training images (`inference.domain`).
"""

"""Prediction for one image: scale, tiles, test-time augmentation, fusion and selection.

What belongs here: the steps from an `ImageSource` to the selected `Instances`. What does not: runs
over many images and files (`runs`), and the layers of networks (`networks`).
"""

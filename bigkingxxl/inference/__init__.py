"""From an image to its cells: scale, tiles, test-time augmentation, fusion and selection.

What belongs here: everything between an `ImageSource` and the selected `Instances`, for one image.
What does not: many images and files (`runs`), and layers of networks (`networks`).
"""

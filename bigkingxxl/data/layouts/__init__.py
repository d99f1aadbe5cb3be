"""Layouts of annotated data sets: the files that belong together, one layout per module.

What belongs here: finding the images of a folder and the annotation files of each; one layout per
module, and an entry in `registry`. What does not: reading an annotation file (`io.annotations`).
"""

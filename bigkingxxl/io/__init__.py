"""Readers and writers: images, annotations, tables and pictures, one format per module.

What belongs here: reading a file into the types of this package, and writing these types to a file.
What does not: deciding which files of a folder belong together (`data`), and running models.
"""

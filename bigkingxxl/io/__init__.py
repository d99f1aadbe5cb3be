"""Files in and out: images, annotations, tables and pictures, one format per module.

What belongs here: reading a file into the package's own types and writing those types into a file.
What does not: deciding which files of a folder belong together (`data`), and running models.
"""

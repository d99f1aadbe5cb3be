"""Annotated or predicted cells: one file format per module, reader and writer side by side.

What belongs here: the cells of one image in one file. What does not: which file belongs to which
image (`data.layouts`), and tables of measurements (`io.tables`).
"""

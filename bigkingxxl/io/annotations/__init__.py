"""Annotated or predicted cells: one file format per module, with its reader and writer.

What belongs here: the cells of one image in one file. What does not: deciding which file belongs to
which image (`data.layouts`), and tables of measurements (`io.tables`).
"""

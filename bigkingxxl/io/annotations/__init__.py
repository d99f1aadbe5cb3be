"""Annotated or predicted cells: one file format per module, reader and writer side by side."""

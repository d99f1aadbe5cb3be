"""Layouts of annotated data sets: which files belong together, one per module."""

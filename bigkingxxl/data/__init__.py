"""Whole data sets: open, download, check, preprocess, split."""

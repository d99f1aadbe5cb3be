"""Data sets: open, convert, check, preprocess and split them, and draw training views.

What belongs here: operations on many images together, and the augmentation that both training feeds
share. What does not: reading a single file (`io`), and anything that needs torch (`training`).
"""

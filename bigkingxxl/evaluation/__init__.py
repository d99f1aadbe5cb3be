"""Scores of predictions against the truth, each an exact and independently tested definition.

What belongs here: matching, metrics, tuning of operating points, comparisons and their tables. What
does not: reading files (`io`, `data`), and printing (`cli`).
"""

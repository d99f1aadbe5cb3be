"""Evaluation of predictions against annotations, with exact and independently tested definitions.

What belongs here: matching, metrics, tuning of operating points, comparisons and their tables. What
does not: reading files (`io`, `data`), and printing (`cli`).
"""

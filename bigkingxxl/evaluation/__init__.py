"""Scores of predictions against the truth, each an exact and independently tested definition."""

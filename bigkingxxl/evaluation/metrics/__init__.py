"""The metrics, one file each; `registry` finds them by name.

What belongs here: the terms that an image contributes to a metric, and the value of their sums.
What does not: matching cells (`evaluation.pairing`), and intervals (`evaluation.scoring`).
"""

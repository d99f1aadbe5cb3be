"""The metrics, one file each; `registry` finds them by name.

What belongs here: what an image contributes to a metric and how the sums become a value. What does
not: matching cells (`evaluation.pairing`), and intervals (`evaluation.scoring`).
"""

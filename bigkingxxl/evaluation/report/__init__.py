"""Reports: one HTML page that needs no other file, no script and no network.

What belongs here: pages of HTML with charts and pictures. What does not: computing scores
(`evaluation.evaluation`).
"""

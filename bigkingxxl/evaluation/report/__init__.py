"""Reports: a single HTML page that needs no other file, no script and no network.

What belongs here: HTML pages with charts and pictures. What does not: computing scores
(`evaluation.evaluation`).
"""

"""Pictures of results: overlays and contact sheets.

What belongs here: drawing cells on images, as overlays and contact sheets. What does not: charts of
scores (`evaluation.report`).
"""

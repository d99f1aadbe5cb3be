"""What a data set holds and what is odd about it: doubtful cells, images of one place.

What belongs here: measuring annotations, finding odd ones, and finding images of one field of view.
What does not: changing anything: `data.preprocess` does.
"""

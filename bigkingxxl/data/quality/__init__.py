"""The content and the quality of a data set: doubtful cells, and images of the same field.

What belongs here: measuring annotations, finding doubtful ones, and finding images of one field of
view. What does not: changing data, which `data.preprocess` does.
"""

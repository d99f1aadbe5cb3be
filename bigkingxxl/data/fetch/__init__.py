"""Data sets from elsewhere: downloads that resume, archives that cannot leave their folder.

What belongs here: downloading a data set and unpacking it. What does not: knowing what is in it
(`data.layouts`).
"""

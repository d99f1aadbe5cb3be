"""Download data sets, with resuming, and unpack archives safely.

What belongs here: downloading a data set and unpacking it. What does not: the layout of its files
(`data.layouts`).
"""

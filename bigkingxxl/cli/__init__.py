"""The command line: one thin module per command; `main` says how a command is added.

What belongs here: options, a call of one function below, and what is printed of its result. What
does not: anything that a program in Python could want as well: it goes into the package that it is
about.
"""

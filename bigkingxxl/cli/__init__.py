"""The command line: one thin module per command; `main` explains how to add a command.

What belongs here: options, a call of one function of the package, and printing its result. What
does not: anything that a Python program could need as well; it belongs to the package of its
subject.
"""

"""Methods: a network together with how it learns and how cells are read from it.

What belongs here: one module per method, named in `registry`; a dense method is a network times a
representation. What does not: the layers themselves (`networks`), and the training loop
(`training`).
"""

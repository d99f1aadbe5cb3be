"""Methods: a network together with its training targets, its loss and its decoding.

What belongs here: one module per method, listed in `registry`; a dense method combines a network
with a representation. What does not: the layers (`networks`), and the training loop (`training`).
"""

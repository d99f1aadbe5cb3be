"""Training: the loop, its data feeds, teachers, critics, checkpoints, calibration and export.

What belongs here: code that changes the weights of a network or writes them to a model file. What
does not: the losses of a method (`methods`, `decoding`, `detection`), and scores (`evaluation`).
"""

"""Training: the loop, its feeds, teachers, critics, checkpoints, calibration and export.

What belongs here: whatever changes the weights of a network or makes a model file of them. What
does not: the losses of a method (`methods`, `decoding`, `detection`), and scores (`evaluation`).
"""

"""The computations of detectors on regions: targets, losses, results and masks.

What belongs here: functions of torch tensors, without modules or weights. What does not: layers
(`networks`), and the detectors as methods (`methods.rcnn`).
"""

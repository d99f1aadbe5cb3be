"""Neural networks as torch modules, and the sources of their pretrained weights.

What belongs here: layers, backbones and heads. What does not: losses, targets and decoding
(`decoding`, `detection`), and the settings of methods (`methods`).
"""

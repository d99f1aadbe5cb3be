"""Networks as torch modules, and where their pretrained weights come from.

What belongs here: layers, backbones and heads; what they compute for a batch of tensors. What does
not: losses, targets and decoding (`decoding`, `detection`), and settings of methods (`methods`).
"""

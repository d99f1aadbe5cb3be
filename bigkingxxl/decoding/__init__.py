"""Representations: how cells are encoded as maps, learned by a dense network, and decoded.

What belongs here: the targets, losses and decoding of components, watershed and flows. What does
not: the networks that compute the maps (`networks`), and tiles, flips and scales (`inference`).
"""

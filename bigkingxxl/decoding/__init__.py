"""How cells are read from the maps of a dense network, and how those maps are learned.

What belongs here: representations (components, watershed, flows): their targets, losses and
decoding. What does not: the networks that make the maps (`networks`), and tiles, flips and scales
(`inference`).
"""

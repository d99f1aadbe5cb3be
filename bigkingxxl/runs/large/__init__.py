"""Images of any size, block by block: seen, settled at the seams, numbered and written.

What belongs here: images that are too large to be held: blocks, seams, joined results. What does
not: tiles within a block (`inference`).
"""

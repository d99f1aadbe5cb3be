"""Images of any size, block by block: predict, resolve the seams, number the cells and write.

What belongs here: images that do not fit into memory: blocks, seams, merged results. What does not:
tiles within a block (`inference`).
"""

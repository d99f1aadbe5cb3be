"""Images of any size, block by block: seen, settled at the seams, numbered and written."""

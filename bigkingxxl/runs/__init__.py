"""Runs over many images: units of work, what is done, and the tables of all of them."""

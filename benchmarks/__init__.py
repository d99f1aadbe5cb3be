"""Benchmarks: `speed`, `accuracy`, `scale`, and `studies` that were done once."""

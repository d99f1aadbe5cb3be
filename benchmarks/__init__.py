"""Benchmarks of `speed`, `accuracy` and `scale`, and `studies` that were done once."""

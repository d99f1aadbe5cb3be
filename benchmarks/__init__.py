"""Benchmarks: `speed`, `accuracy`, `scale`, and `studies` that were done once."""

from pathlib import Path

# Their names without the folder lead to them too, as long as commands and branches use these.
__path__ += [str(Path(__file__).parent / name) for name in ("speed", "accuracy", "studies")]

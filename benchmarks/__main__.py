"""`python -m benchmarks`: list the benchmarks, run one, or print its results as tables."""

from benchmarks.harness import command_line

command_line()

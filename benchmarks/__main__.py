"""`python -m benchmarks`: list the benchmarks, run one, print the tables of its results."""

from benchmarks.harness import command_line

command_line()

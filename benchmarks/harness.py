"""One command line for all benchmarks: `python -m benchmarks [list | run NAME OPTIONS]`."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from pathlib import Path

from bigkingxxl.errors import BigKingXXLError, InputError

FOLDERS = ("speed", "accuracy", "scale", "studies")
USAGE = "python -m benchmarks [list | run NAME OPTIONS]; `run NAME --help` tells its options"


def names() -> dict[str, str]:
    """Each benchmark's name, and the module that is run."""
    found = {}
    for folder in FOLDERS:
        place = Path(__file__).parent / folder
        for each in pkgutil.iter_modules([str(place)]):
            if "def main(" in (place / f"{each.name}.py").read_text("utf-8"):
                found[each.name] = f"benchmarks.{folder}.{each.name}"
    return found


def run(name: str, arguments: list[str]) -> int:
    """Run a benchmark as its own command line would be.

    Returns:
        The exit status: 1 where a goal is missed.

    Raises:
        InputError: there is no benchmark of that name.
    """
    known = names()
    if name not in known:
        raise InputError(f"there is no benchmark '{name}', expected one of {', '.join(known)}")
    sys.argv = [f"python -m benchmarks run {name}", *arguments]
    return importlib.import_module(known[name]).main() or 0


def listing() -> str:
    """A line for each benchmark: its folder, its name and what it measures."""
    lines = []
    for name, module in names().items():
        summary = (importlib.import_module(module).__doc__ or "").splitlines()[0]
        lines.append(f"{module.split('.')[1]:9} {name:22} {summary}")
    return "\n".join(lines)


def command_line() -> None:
    """Do what the arguments of the process say."""
    match sys.argv[1:]:
        case [] | ["list"]:
            print(listing())
        case ["run", name, *arguments]:
            try:
                sys.exit(run(name, arguments))
            except BigKingXXLError as error:
                print(error, file=sys.stderr)
                sys.exit(2)
        case _:
            print(USAGE, file=sys.stderr)
            sys.exit(2)

"""Finds the assertions that check how a sentence is worded: `python -m tests.prose [FOLDER]`."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parent
# A plain word; quoted names, numbers, options, settings, paths and extras are no prose.
PROSE = re.compile(r"(?<![\w./'\"=<\[(-])[A-Za-z]?[a-z]{3,}(?![\w./'\"=>(\]-])")
# Where a program says something to a person.
SPOKEN = re.compile(
    r"\b(stderr|err|output|stdout|caplog|sentence\w*|told|said)\b|str\((error|caught|raised)"
)
# What tables of cases call the words that are looked for.
TABLES = {"message", "says", "sentence", "told", "words"}
# Of others: what a test raises itself, what Python and other libraries say.
FOREIGN = {"AssertionError", "KeyError", "RuntimeError", "TypeError", "UserWarning"}


def is_prose(text: str) -> bool:
    """True for a text that a reworded sentence would not hold any more."""
    return PROSE.search(text.replace("\\", "")) is not None


def prose_assertions(folder: Path = TESTS) -> Iterator[tuple[Path, int, str]]:
    """File, line and text of each assertion on wording: `match=` patterns, `"..." in stderr`."""
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call | ast.Compare):
                yield from ((path, node.lineno, text) for text in _texts(node) if is_prose(text))


def _texts(node: ast.Call | ast.Compare) -> Iterator[str]:
    if isinstance(node, ast.Call):
        is_ours = bool(node.args) and ast.unparse(node.args[0]) not in FOREIGN
        patterns = [each.value for each in node.keywords if each.arg == "match" and is_ours]
        yield from (_literal(each, where_unknown="any words") for each in patterns)
    elif isinstance(node.ops[0], ast.In) and SPOKEN.search(ast.unparse(node.comparators[0])):
        is_table = isinstance(node.left, ast.Name) and node.left.id in TABLES
        yield "any words" if is_table else _literal(node.left)


def _literal(node: ast.expr, where_unknown: str = "") -> str:
    """A text that stands in the code; what is put in by a name is left out of it."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_literal(each) for each in node.values if isinstance(each, ast.Constant))
    return where_unknown


if __name__ == "__main__":
    found = list(prose_assertions(Path(sys.argv[1]) if len(sys.argv) > 1 else TESTS))
    for path, line, text in found:
        print(f"{path}:{line}: {text}")
    print(f"{len(found)} assertions on wording", file=sys.stderr)

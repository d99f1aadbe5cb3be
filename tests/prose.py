"""Find the assertions that check how a sentence is worded: `python -m tests.prose [FOLDER]`.

An assertion on wording is a `match=` pattern, or `"..." in stderr` and the like, whose text has a
plain word that a reworded sentence would not contain. tests/test_prose.py limits their number.
"""

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
    """Return whether a text contains a word that a reworded sentence might not contain."""
    return PROSE.search(text.replace("\\", "")) is not None


def prose_assertions(folder: Path = TESTS) -> Iterator[tuple[Path, int, str]]:
    """Yield the file, the line number and the text of each assertion on wording in a folder."""
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
    """Return the text of a literal, without the values of an f-string.

    Args:
        node: The expression.
        where_unknown: The text of an expression that is not a literal.
    """
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

"""Python as data: assignments of literals are read from the syntax tree, and nothing is run."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from typing import Any

from bigkingxxl.config_files.parsed import ConfigSyntaxError, NeedsCodeError, Parsed, Path
from bigkingxxl.config_files.plain import DEEPEST, LARGEST_WHOLE

ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul,
    ast.Div: operator.truediv, ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}  # fmt: skip
SIGNS: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.USub: operator.neg, ast.UAdd: operator.pos,
}  # fmt: skip
LARGEST_EXPONENT = 64


def read_python(text: str) -> Parsed:
    """Read the values of a Python text: a docstring, comments and `name = literal`.

    Literals are text, numbers, True, False, None, tuples, lists and dictionaries of literals, and
    arithmetic of numbers.

    Raises:
        NeedsCodeError: A line does anything else.
        ConfigSyntaxError: It is not Python, a name or key is set twice, or it is nested too deeply.
    """
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        raise ConfigSyntaxError(f"it is not valid Python ({error.msg})", error.lineno) from error
    except (RecursionError, MemoryError) as error:
        raise ConfigSyntaxError("its values are nested too deeply") from error
    except ValueError as error:  # a null byte
        raise ConfigSyntaxError(f"it is not valid Python ({error})") from error
    values: dict[str, Any] = {}
    reader = _Literals(text)
    for place, node in enumerate(tree.body):
        if place == 0 and _is_text(node):
            continue
        name, value = reader.assigned(node)
        if name in values:
            first = reader.lines[name,]
            raise ConfigSyntaxError(
                f"'{name}' is set twice (first in line {first})", node.lineno, name
            )
        reader.lines[name,] = node.lineno
        values[name] = reader.value(value, (name,))
    return Parsed(values, reader.lines)


def _is_text(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


class _Literals:
    """Reads literals and records the lines of their keys."""

    def __init__(self, text: str) -> None:
        self.text = text.splitlines()
        self.lines: dict[Path, int] = {}

    def assigned(self, node: ast.stmt) -> tuple[str, ast.expr]:
        """Return the name and the value of an assignment."""
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            target = node.targets[0]
            if isinstance(target, ast.Name):
                return target.id, node.value
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
            return node.target.id, node.value
        raise self.needs_code(node)

    def needs_code(self, node: ast.stmt | ast.expr) -> NeedsCodeError:
        """Return an error that shows the line."""
        line = self.text[node.lineno - 1].strip() if node.lineno <= len(self.text) else ""
        short = line if len(line) <= 80 else f"{line[:77]}..."
        return NeedsCodeError(
            f"`{short}` needs to be run, and config files are only read (names, text, numbers, "
            "tuples, lists and dictionaries)",
            node.lineno,
        )

    def value(self, node: ast.expr, path: Path) -> Any:
        """Return the plain value of a literal."""
        if len(path) > DEEPEST:
            raise ConfigSyntaxError(
                f"the values of '{path[0]}' are nested too deeply (more than {DEEPEST} levels)",
                node.lineno, str(path[0]),
            )  # fmt: skip
        if isinstance(node, ast.Tuple | ast.List):
            return [self.value(each, (*path, index)) for index, each in enumerate(node.elts)]
        if isinstance(node, ast.Dict):
            return self.mapping(node, path)
        return self.scalar(node, 0)

    def mapping(self, node: ast.Dict, path: Path) -> dict[str, Any]:
        """Read a dictionary whose keys are text."""
        found: dict[str, Any] = {}
        for key, each in zip(node.keys, node.values, strict=True):
            if not isinstance(key, ast.Constant):  # None stands for **
                raise self.needs_code(each if key is None else key)
            name = key.value
            if not isinstance(name, str):
                raise ConfigSyntaxError(
                    f"the key {str(name)[:80]!r} is not text: put it in quotes", key.lineno
                )
            inner = (*path, name)
            if name in found:
                raise ConfigSyntaxError(
                    f"the key '{name}' occurs twice in '{path[0]}' (first in line "
                    f"{self.lines[inner]})", key.lineno, name,
                )  # fmt: skip
            self.lines[inner] = key.lineno
            found[name] = self.value(each, inner)
        return found

    def scalar(self, node: ast.expr, depth: int) -> Any:
        """Read text, a number, True, False or None."""
        if depth > DEEPEST:
            raise ConfigSyntaxError("its arithmetic is nested too deeply", node.lineno)
        if isinstance(node, ast.Constant) and (
            node.value is None or isinstance(node.value, str | int | float)
        ):
            return self.bounded(node.value, node)
        if isinstance(node, ast.UnaryOp) and type(node.op) in SIGNS:
            return SIGNS[type(node.op)](self.number(node.operand, depth))
        if isinstance(node, ast.BinOp) and type(node.op) in ARITHMETIC:
            left, right = self.number(node.left, depth), self.number(node.right, depth)
            if isinstance(node.op, ast.Pow) and abs(right) > LARGEST_EXPONENT:
                raise ConfigSyntaxError("its exponent is too large", node.lineno)
            try:
                return self.bounded(ARITHMETIC[type(node.op)](left, right), node)
            except ArithmeticError as error:
                raise ConfigSyntaxError(f"it cannot be computed ({error})", node.lineno) from error
        raise self.needs_code(node)

    def number(self, node: ast.expr, depth: int) -> Any:
        """Read a number, which may be an arithmetic expression."""
        found = self.scalar(node, depth + 1)
        if isinstance(found, bool) or not isinstance(found, int | float):
            raise self.needs_code(node)
        return found

    def bounded(self, value: Any, node: ast.expr) -> Any:
        """Check that a number is small enough to be shown; return other values unchanged."""
        if isinstance(value, complex):  # a root of a negative number
            raise ConfigSyntaxError("it is not a real number", node.lineno)
        if isinstance(value, int) and abs(value) > LARGEST_WHOLE:
            raise ConfigSyntaxError("it is a number of more than 19 digits", node.lineno)
        return value

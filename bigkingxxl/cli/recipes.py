"""`bigkingxxl recipes`: the ready-made settings, read without running them."""

from __future__ import annotations

import ast
from typing import Annotated, NamedTuple

import typer

from bigkingxxl.cli.answer import AsJson, print_json


class Entry(NamedTuple):
    """A shipped recipe: its name, its method, what it is for, and its text."""

    name: str
    method: str
    summary: str
    text: str


def recipes(
    name: Annotated[
        str | None, typer.Argument(help="Print this recipe, to start a config file from.")
    ] = None,
    as_schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON schema of config files.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the ready-made training settings, or print one of them."""
    if as_schema:
        _print_schema(name)
        return
    found = shipped_recipes()
    if name is not None:
        chosen = _named(name, found)
        if as_json:
            print_json(chosen._asdict())
        else:
            typer.echo(chosen.text, nl=False)
    elif as_json:
        print_json([{"name": e.name, "method": e.method, "summary": e.summary} for e in found])
    else:
        wide = max((len(each.name) for each in found), default=0)
        method = max((len(each.method) for each in found), default=0)
        for each in found:
            typer.echo(f"{each.name:{wide}}  {each.method:{method}}  {each.summary}")


def _print_schema(name: str | None) -> None:
    from bigkingxxl.errors import InputError
    from bigkingxxl.training.recipe_schema import recipe_schema

    if name is not None:
        raise InputError(f"--schema is that of all recipes: leave '{name}' out")
    print_json(recipe_schema())


def shipped_recipes() -> list[Entry]:
    """All recipes of the package, by name; none is imported or run."""
    from importlib import resources

    folder = resources.files("bigkingxxl.recipes")
    files = [file for file in folder.iterdir() if file.name.endswith(".py")]
    names = sorted(file.name.removesuffix(".py") for file in files)
    return [
        describe(name, (folder / f"{name}.py").read_text(encoding="utf-8"))
        for name in names
        if not name.startswith("_")
    ]


def describe(name: str, text: str) -> Entry:
    """The entry of a recipe: its docstring's first line is the summary, `method` its method."""
    tree = ast.parse(text)
    summary = (ast.get_docstring(tree) or "").partition("\n")[0]
    method = ""
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            targets = [target.id for target in node.targets if isinstance(target, ast.Name)]
            method = str(node.value.value) if "method" in targets else method
    return Entry(name, method, summary, text)


def _named(name: str, found: list[Entry]) -> Entry:
    for each in found:
        if each.name == name:
            return each
    from bigkingxxl.errors import InputError
    from bigkingxxl.settings import nearest

    raise InputError(f"there is no recipe '{name}'{nearest(name, [e.name for e in found])}")

"""`bigkingxxl recipes`: the shipped recipes, read without running them."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from bigkingxxl.cli.json_output import AsJson, print_json


class Entry(NamedTuple):
    """A shipped recipe: its name, its method, its purpose, and its text."""

    name: str
    method: str
    summary: str
    text: str


def recipes(
    name: Annotated[
        str | None, typer.Argument(help="Print this recipe, to start a config file from.")
    ] = None,
    full: Annotated[
        bool,
        typer.Option(
            "--full", help="Print it as YAML, with what it extends written out; of a file, too."
        ),
    ] = False,
    as_schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON schema of config files.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the ready-made training settings, or print one of them."""
    if as_schema:
        _print_schema(name)
        return
    if full:
        _print_full(name, as_json)
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
        raise InputError(f"--schema describes all recipes: leave '{name}' out", key="--schema")
    print_json(recipe_schema())


def _print_full(name: str | None, as_json: bool) -> None:
    import yaml

    from bigkingxxl.config_files.reading import read_config
    from bigkingxxl.errors import InputError
    from bigkingxxl.training.recipe import recipe_folder, recipe_path

    if name is None:
        raise InputError("--full needs the name of a recipe, such as `bigkingxxl recipes open "
                         "--full`",
                         key="--full")  # fmt: skip
    values = read_config(recipe_path(name), recipe_folder()).values
    if as_json:
        print_json(values)
    else:
        typer.echo(yaml.safe_dump(values, sort_keys=False, allow_unicode=True), nl=False)


def shipped_recipes() -> list[Entry]:
    """Return all recipes of the package, by name, without importing or running any."""
    from importlib import resources

    folder = Path(str(resources.files("bigkingxxl.recipes")))
    return [describe(path, folder) for path in sorted(folder.glob("[!_]*.py"))]


def describe(path: Path, folder: Path) -> Entry:
    """Describe a recipe, whose docstring begins with its summary.

    Args:
        path: The recipe.
        folder: Where the recipes are that it may extend.
    """
    from bigkingxxl.config_files.reading import read_config

    values = read_config(path, folder).values
    text = path.read_text(encoding="utf-8")
    summary = (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]
    return Entry(path.stem, str(values.get("method", "")), summary, text)


def _named(name: str, found: list[Entry]) -> Entry:
    for each in found:
        if each.name == name:
            return each
    from bigkingxxl.errors import InputError
    from bigkingxxl.settings import closest, nearest

    names = [each.name for each in found]
    raise InputError(f"there is no recipe '{name}'{nearest(name, names)}", found=name,
                     expected=tuple(names), did_you_mean=closest(name, names))  # fmt: skip

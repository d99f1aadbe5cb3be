"""Every command on a page exists, with the options and values that the page gives it."""

from __future__ import annotations

import ast
import re
import tomllib
from typing import Any

import pytest
from typer.core import TyperCommand, TyperGroup

from bigkingxxl.cli.main import COMMANDS, load
from bigkingxxl.runs.outputs import chosen_formats
from bigkingxxl.training.recipe import load_recipe
from tests.docs.pages import ROOT, Line, blocks, commands, pages

PAGES = pages()
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]
LINES = [line for page in PAGES for line in commands(page)]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"][
    "optional-dependencies"
]
TARGETS = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.M))


def check_own(line: Line) -> None:
    """Parse a command of the program without running it."""
    name, *rest = line.words[1:]
    if name in ("--version", "--help", "--debug") or name.isupper():
        return
    assert name in COMMANDS, f"there is no command '{name}'"
    words, command = [name], load(name)
    while isinstance(command, TyperGroup) and rest and not rest[0].startswith("-"):
        inner, rest = rest[0], rest[1:]
        assert inner in command.commands, f"there is no command '{name} {inner}'"
        words, command = [*words, inner], command.commands[inner]
    if not rest and line.is_inline:
        return  # the command's name alone
    if "..." in rest:
        rest = [each for each in rest if each != "..."]
    values = parsed(command, rest, line)
    if values is not None:
        check_values(words, values)


def parsed(
    command: TyperCommand | TyperGroup, arguments: list[str], line: Line
) -> dict[str, Any] | None:
    """Return the parsed options, or None where a sentence gives only a part of the command."""
    try:
        values: dict[str, Any] = command.make_context(line.words[1], list(arguments)).params
    except Exception as error:  # of click, or of typer's copy of it
        kind = type(error).__name__
        if kind == "Exit" or (kind == "MissingParameter" and line.is_inline):  # Exit: --help
            return None
        raise
    return values


def check_values(words: list[str], values: dict[str, Any]) -> None:
    """Recipes, settings and formats that are named exist."""
    if words == ["train"]:
        config = values["config"]
        if not config.isupper() and not config.startswith(("my_", "RUN/")):
            known = ROOT / config if config.endswith((".py", ".yaml")) else config
            load_recipe(str(known), values["settings"] or ())
    if words == ["predict"]:
        chosen_formats([each for text in values["formats"] for each in text.split(",")])


def check_other(line: Line) -> None:
    """Accept other programs in the few forms in which the pages call them."""
    words = line.words
    if words[0] == "make":
        assert {each for each in words[1:] if "=" not in each} <= TARGETS
    elif words[0] == "git":  # an earlier version of a file
        assert words[1] == "show"
    elif "pip" in words[:3]:
        for extra in re.findall(r"\[([a-z0-9,-]+)\]", " ".join(words)):
            assert set(extra.split(",")) <= set(EXTRAS)
    elif words[0] in ("uv", "pipx", "conda"):
        assert {"install", "pip", "build", "render"} & set(words), "nobody checks this command"
    elif words[1:3] == ("-m", "benchmarks"):
        assert words[3:] in ((), ("list",)) or [*ROOT.glob(f"benchmarks/*/{words[4]}.py")]
    elif words[1:2] == ("-m",):
        module = words[2]
        if module not in ("venv", "pytest"):
            assert (ROOT / f"{module.replace('.', '/')}.py").is_file()
    elif words[0].startswith("python"):
        assert (ROOT / words[1]).is_file()
    else:
        pytest.fail(f"nobody checks this program: {words[0]}")


def test_pages_hold_commands() -> None:
    own = [line for line in LINES if line.words[0] == "bigkingxxl"]
    assert len(own) > 60
    named = {line.words[1] for line in own}
    assert set(COMMANDS) <= named, "commands that no page names"


@pytest.mark.parametrize("page", NAMES)
def test_the_commands_of_a_page_parse(page: str) -> None:
    wrong = []
    for line in LINES:
        if line.page != page:
            continue
        try:
            (check_own if line.words[0] == "bigkingxxl" else check_other)(line)
        except Exception as error:  # all of them are listed
            said = getattr(error, "format_message", error.__str__)()
            wrong.append(f"{line}: {said}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "words",
    [
        "bigkingxxl predcit a.tif --out b",
        "bigkingxxl predict a.tif --outt b",
        "bigkingxxl predict a.tif",
        "bigkingxxl predict a.tif --out b --diameter wide",
        "bigkingxxl predict a.tif --out b --format lables",
        "bigkingxxl data inform x",
        "bigkingxxl train kompakt --data x",
        "bigkingxxl train compact --data x --set training.epoch=3",
        "bigkingxxl train mmdnet_config/no_such.py --data x",
    ],
)
def test_a_wrong_command_is_found(words: str) -> None:
    with pytest.raises(Exception):  # noqa: B017, PT011
        check_own(Line("page", 1, tuple(words.split())))


@pytest.mark.parametrize("page", NAMES)
def test_the_python_of_a_page_is_python(page: str) -> None:
    for _, block in blocks(ROOT / page, "python"):
        ast.parse(block)

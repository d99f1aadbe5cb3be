"""The command: lazy commands, and errors as one sentence with the right exit code."""

from __future__ import annotations

import errno
import json
import os
import sys
import types
from collections.abc import Callable
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from bigkingxxl import __version__, errors, extras
from bigkingxxl.cli import main
from bigkingxxl.cli.json_output import print_json
from tests.refusals import refused_by

Run = Callable[..., Result]


@pytest.fixture
def run_command(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `bigkingxxl boom`, a command whose body the test provides."""

    def run(body: Callable[..., Any] | typer.Typer, *arguments: str) -> Result:
        module = types.ModuleType("boom_module")
        module.boom = body  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "boom_module", module)
        monkeypatch.setitem(main.COMMANDS, "boom", main.Target("boom_module:boom", "Fails."))
        first = [each for each in arguments if each == "--debug"]
        rest = [each for each in arguments if each != "--debug"]
        return CliRunner().invoke(main.app, [*first, "boom", *rest])

    return run


def raising(error: BaseException) -> Callable[[], None]:
    def boom() -> None:
        raise error

    return boom


USER_ERRORS = [
    kind for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, errors.BigKingXXLError)
]  # fmt: skip


@pytest.mark.parametrize("kind", USER_ERRORS)
def test_a_users_error_is_one_sentence_and_exit_2(run_command: Run, kind: type[Exception]) -> None:
    result = run_command(raising(kind("train.csv, line 7: an odd count\nof numbers (3)")))
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr == "bigkingxxl: train.csv, line 7: an odd count of numbers (3)\n"


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (FileNotFoundError(errno.ENOENT, "No such file", "a.png"), 2, "a.png: no such file"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "out.csv"), 2, "out.csv: no space left"),
        (ModuleNotFoundError("x", name="torch.nn"), 2, extras.install("train")),
        (ModuleNotFoundError("x", name="kaggle"), 2, extras.install("kaggle")),
        (MemoryError("Unable to allocate 7 EiB"), 2, "not enough memory"),
        (RuntimeError("CUDA out of memory. Tried to allocate"), 2, "not enough memory"),
        (RecursionError(), 2, "too deeply"),
        (ModuleNotFoundError("No module named 'spam'", name="spam"), 1, "unexpected"),
        (ZeroDivisionError("division by zero"), 1, "ZeroDivisionError: division by zero"),
        (RuntimeError(), 1, "RuntimeError: no message"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_other_errors_are_sentences_too(
    run_command: Run, error: BaseException, code: int, words: str
) -> None:
    result = run_command(raising(error))
    assert result.exit_code == code
    assert words in result.stderr
    assert result.stderr.count("\n") == 1
    assert "Traceback" not in result.stderr


def test_debug_shows_the_traceback(run_command: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(run_command(raising(ValueError("x")), "--debug").exception, ValueError)
    monkeypatch.setenv("BIGKINGXXL_DEBUG", "1")
    assert isinstance(run_command(raising(ValueError("x"))).exception, ValueError)


def test_a_commands_own_exit_code_is_preserved(run_command: Run) -> None:
    assert run_command(raising(typer.Exit(1))).exit_code == 1
    assert run_command(lambda: None).exit_code == 0


def test_a_wrong_argument_is_explained_with_exit_2(run_command: Run) -> None:
    def boom(count: int) -> None: ...

    result = run_command(boom, "seven")
    assert result.exit_code == 2
    assert "'count'" in result.stderr


def test_a_group_of_commands_is_loaded_like_a_command(run_command: Run) -> None:
    group = typer.Typer(help="Several things.")
    group.command("one")(lambda: typer.echo("first"))
    group.command("two")(raising(errors.InputError("no")))
    assert run_command(group, "one").stdout == "first\n"
    assert run_command(group, "two").exit_code == 2
    shown = run_command(group, "--help").stdout
    assert "Several things." in shown
    assert "boom [OPTIONS] COMMAND" in shown


def test_square_brackets_in_help_are_preserved(run_command: Run) -> None:
    def boom() -> None:
        """Needs the extra bigkingxxl[train]."""

    assert "bigkingxxl[train]" in run_command(boom, "--help").stdout


def test_an_unknown_command_names_the_nearest() -> None:
    result = CliRunner().invoke(main.app, ["evalute"])
    assert result.exit_code == 2
    assert "'evaluate'" in result.stderr


def test_version_and_bare_help() -> None:
    assert CliRunner().invoke(main.app, ["--version"]).stdout == f"bigkingxxl {__version__}\n"
    shown = CliRunner().invoke(main.app, ["--help"]).stdout
    for name, target in main.COMMANDS.items():
        assert name in shown
        assert target.summary in shown


@pytest.mark.parametrize("name", list(main.COMMANDS))
def test_every_listed_command_is_there_and_has_the_help_it_is_listed_with(name: str) -> None:
    result = CliRunner().invoke(main.app, [name, "--help"])
    assert result.exit_code == 0, result.stderr
    command = main.load(name)
    assert command.help, f"{name} needs a docstring or a help text"
    for parameter in command.params:
        assert getattr(parameter, "help", None), f"{name}: {parameter.name} has no help"


def test_every_command_of_a_group_explains_itself() -> None:
    for name in main.COMMANDS:
        for sub, command in getattr(main.load(name), "commands", {}).items():
            assert command.help, f"{name} {sub} needs a docstring"
            for parameter in command.params:
                assert getattr(parameter, "help", None), f"{name} {sub}: {parameter.name}"


def commands() -> list[tuple[str, Any]]:
    """Return all commands, including those of groups."""
    found = []
    for name in main.COMMANDS:
        command = main.load(name)
        inner = getattr(command, "commands", None)
        found += [(name, command)] if inner is None else [
            (f"{name} {each}", own) for each, own in inner.items()
        ]  # fmt: skip
    return found


COMMANDS = commands()


@pytest.mark.parametrize(
    "command", [own for _, own in COMMANDS], ids=[name for name, _ in COMMANDS]
)
def test_every_command_answers_in_json_too(command: Any) -> None:
    assert "--json" in [option for each in command.params for option in each.opts]


SEEDED = [name for name, own in COMMANDS if any(each.name == "seed" for each in own.params)]


@pytest.mark.parametrize("seed", ["-1", "99999999999999999999", "nan"])
@pytest.mark.parametrize("command", SEEDED)
def test_impossible_seeds_are_refused(command: str, seed: str) -> None:
    result = CliRunner().invoke(main.app, [*command.split(), f"--seed={seed}"])
    assert result.exit_code == 2
    assert "Traceback" not in result.stderr
    assert "--seed" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [["predict", "", "--out", "x"], ["predict", "a", "--out", ""], ["predict", "a", "--out="],
     ["data", "info", ""], ["train", "", "--data", "x"], ["evaluate", "a", ""],
     ["export", "", "--out", "x.onnx"], ["tune", "bundled", "--data", ""]],
)  # fmt: skip
def test_empty_names_are_refused(arguments: list[str]) -> None:
    result = CliRunner().invoke(main.app, arguments)
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    refused_by(result, found="")


def test_names_of_any_bytes_are_printed(run_command: Run) -> None:
    result = run_command(lambda: typer.echo(os.fsdecode(b"a\xff.tif")))
    assert result.exit_code == 0
    assert result.stdout_bytes == b"a\xff.tif\n"


def test_json_knows_no_nan(capsys: pytest.CaptureFixture[str]) -> None:
    from pathlib import Path

    import numpy as np

    print_json({"a": float("nan"), "b": [np.float64("inf"), np.array([1.5, np.nan])],
                "c": Path("x")})  # fmt: skip
    assert json.loads(capsys.readouterr().out) == {"a": None, "b": [None, [1.5, None]], "c": "x"}

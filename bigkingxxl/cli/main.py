"""The `bigkingxxl` command: finds, loads and runs the commands, and turns errors into sentences.

To add a command:

1. Write a module `bigkingxxl/cli/<name>.py` with a function (`def train(...) -> None`), or for a
   group of commands a `typer.Typer` with a help text. Arguments and options are
   `Annotated[type, typer.Argument/Option(help=...)]`. The docstring of the function is the help
   text (plain prose without an Args section; its first sentence is the summary). Heavy packages
   (numpy, scipy, torch, ...) are imported inside the function, so that `--help` stays fast.
2. Add one line to `COMMANDS`: the name, the function, and the summary in `bigkingxxl --help`.

The module is imported only when its command runs. A command

- raises a `BigKingXXLError` for everything that a user can correct: this module prints the message
  on stderr and exits 2; `raise typer.Exit(code)` ends with any other code,
- prints results on stdout and everything else on stderr; warnings go through
  `logging.getLogger(__name__).warning`,
- shows progress with `bigkingxxl.cli.progress.track`.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperGroup

from bigkingxxl import __version__
from bigkingxxl.display_text import make_printing_safe, occupy_closed_streams, printable
from bigkingxxl.errors import BigKingXXLError, InputError, Interrupted
from bigkingxxl.extras import extra_of, install
from bigkingxxl.processes import raise_on_sigterm

EXIT_USER_ERROR = 2
EXIT_UNEXPECTED = 1
SHELL_COMPLETION = ("install_completion", "show_completion")


class Target(NamedTuple):
    """The location of a command (`module:attribute`) and its summary."""

    place: str
    summary: str


COMMANDS: dict[str, Target] = {
    "data": Target(
        "bigkingxxl.cli.data:app", "Download, describe, convert, split and simulate data sets."
    ),
    "train": Target("bigkingxxl.cli.train:train", "Train a model on a data set."),
    "predict": Target("bigkingxxl.cli.predict:predict", "Find the cells in images."),
    "tables": Target(
        "bigkingxxl.cli.tables:tables", "Make the tables of a run that was split into shards."
    ),
    "attach": Target(
        "bigkingxxl.cli.attach:attach", "Put label images inside their OME-Zarr images."
    ),
    "template": Target(
        "bigkingxxl.cli.template:template", "Print scripts for SLURM, Nextflow and Snakemake."
    ),
    "measure": Target(
        "bigkingxxl.cli.measure:measure", "Measure cells again after label images were corrected."
    ),
    "view": Target(
        "bigkingxxl.cli.view:view", "View and correct cells in the browser, and learn from that."
    ),
    "annotate": Target("bigkingxxl.cli.view:annotate", "Draw the cells of images in the browser."),
    "evaluate": Target("bigkingxxl.cli.evaluate:evaluate", "Score predictions against the truth."),
    "compare": Target("bigkingxxl.cli.compare:compare", "Compare models and other tools' results."),
    "report": Target("bigkingxxl.cli.report:report", "Write one page about the cells of a run."),
    "ensemble": Target("bigkingxxl.cli.ensemble:ensemble", "Combine several models in one file."),
    "calibrate": Target(
        "bigkingxxl.cli.calibrate:calibrate", "Calibrate a model's scores: make them expected IoU."
    ),
    "tune": Target("bigkingxxl.cli.tune:tune", "Choose a model's thresholds on annotated images."),
    "export": Target(
        "bigkingxxl.cli.export:export", "Turn a model into one that predicts without torch."
    ),
    "import-weights": Target(
        "bigkingxxl.cli.import_weights:import_weights",
        "Convert weights of torchvision or Cellpose.",
    ),
    "demo": Target(
        "bigkingxxl.cli.demo:demo",
        "Run every step once, from data to a report.",
    ),
    "models": Target("bigkingxxl.cli.models:app", "List the shipped models, or show one's card."),
    "recipes": Target("bigkingxxl.cli.recipes:recipes", "List the ready-made training settings."),
}

# The message of torch if memory is short.
OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")


def load(name: str) -> Any:
    """Import the module of a command and return the command, ready to run."""
    module, _, attribute = COMMANDS[name].place.partition(":")
    item = getattr(importlib.import_module(module), attribute)
    if not isinstance(item, typer.Typer):
        function, item = item, typer.Typer(add_completion=False)
        item.command(name)(function)
    item.rich_markup_mode = None
    command = typer.main.get_command(item)
    command.name = name
    command.params = [each for each in command.params if each.name not in SHELL_COMPLETION]
    return command


class LazyGroup(TyperGroup):
    """A group whose commands are imported when they run, and whose errors are sentences."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command named first in `args`, loaded."""
        if args and args[0] in COMMANDS:
            refuse_empty(args[1:])
            self.add_command(load(args[0]), args[0])
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; any error becomes one sentence on stderr and an exit code."""
        make_printing_safe()
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            end = stop if isinstance(stop, Interrupted) else Interrupted()
            typer.echo(str(end), err=True)
            raise typer.Exit(end.exit_code) from None
        except Exception as error:
            sentence, code = explain(error)
            if sentence is None or ctx.params.get("debug"):
                raise
            typer.echo(f"bigkingxxl: {printable(sentence)}", err=True)
            raise typer.Exit(code) from None


def refuse_empty(arguments: Sequence[str]) -> None:
    """Refuse blank arguments, which as a path would mean the current folder.

    Raises:
        InputError: An argument is empty, as a shell passes an unset variable.
    """
    for place, argument in enumerate(arguments):
        before = arguments[place - 1] if place else ""
        if argument == "" and before.startswith("-"):
            raise InputError(
                f"{before} is empty: give it a value, or leave it out", key=before, found=""
            )
        if argument == "":
            raise InputError(
                "an argument is empty, expected the name of a file, folder or model", found=""
            )
        if argument.startswith("--") and argument.endswith("=") and argument.count("=") == 1:
            raise InputError(
                f"{argument[:-1]} is empty: give it a value, or leave it out",
                key=argument[:-1],
                found="",
            )


def explain(error: Exception) -> tuple[str | None, int]:
    """Return the sentence and the exit code of an error; None if typer handles it."""
    if isinstance(error, BigKingXXLError):
        return " ".join(str(error).split()), EXIT_USER_ERROR
    if isinstance(error, ModuleNotFoundError) and (extra := extra_of(error.name or "")):
        return (
            f"this needs '{error.name}', which comes with the extra '{extra}': {install(extra)}"
        ), EXIT_USER_ERROR
    if isinstance(error, BrokenPipeError) or type(error).__module__.startswith(("typer", "click")):
        return None, EXIT_UNEXPECTED
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {(error.strerror or str(error)).lower()}", EXIT_USER_ERROR
    words = " ".join(str(error).split())
    if isinstance(error, MemoryError) or any(sign in words for sign in OUT_OF_MEMORY):
        return (
            f"there is not enough memory for this ({words[:200] or 'no more is known'}): take "
            "smaller images, tiles, batches or networks"
        ), EXIT_USER_ERROR
    if isinstance(error, RecursionError):
        return "a file or a value is nested too deeply to be read", EXIT_USER_ERROR
    return (
        f"an unexpected error, {type(error).__name__}: {words or 'no message'} "
        "(run again as `bigkingxxl --debug ...` to see where)"
    ), EXIT_UNEXPECTED


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"bigkingxxl {__version__}")
        raise typer.Exit


# Help without rich's markup is twice as fast, and preserves square brackets.
app = typer.Typer(
    cls=LazyGroup,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
    debug: Annotated[
        bool,
        typer.Option(
            "--debug", envvar="BIGKINGXXL_DEBUG", help="Show where an unexpected error came from."
        ),
    ] = False,
) -> None:
    """Find, outline, measure and score the cells in microscope images."""


def _stub() -> None:
    """Stand for a command in the list; `LazyGroup` loads the real one."""


for _name, _target in COMMANDS.items():
    app.command(_name, help=_target.summary)(_stub)


class _Shown(logging.Formatter):
    """Formats warnings for a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of the record, line by line."""
        return "\n".join(map(printable, super().format(record).splitlines()))


def main() -> None:
    """Run the console script."""
    occupy_closed_streams()
    raise_on_sigterm()
    warnings = logging.StreamHandler()
    warnings.setFormatter(_Shown("%(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[warnings])
    app(prog_name="bigkingxxl")


if __name__ == "__main__":
    main()

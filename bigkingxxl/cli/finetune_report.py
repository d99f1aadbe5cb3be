"""The progress and the result of a fine-tuning on the terminal."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import typer

from bigkingxxl.cli.json_output import plain
from bigkingxxl.display_text import counted

SECONDS_BETWEEN_LINES = 10.0
Event = dict[str, Any]


@contextmanager
def reporter(*, json_lines: bool, quiet: bool) -> Iterator[Callable[[Event], None]]:
    """Yield a function that reports events: as JSON on stdout, or as a bar or lines on stderr."""
    if json_lines:
        yield json_line
    elif quiet:
        yield note_line
    elif sys.stderr.isatty():
        with bar() as told:
            yield told
    else:
        yield lines()


def json_line(event: Event) -> None:
    """Print the event on stdout and flush."""
    sys.stdout.write(json.dumps(plain(event), allow_nan=False) + "\n")
    sys.stdout.flush()


def note_line(event: Event) -> None:
    """Print sentences that a user should read on stderr."""
    if event["event"] == "note":
        typer.echo(f"note: {event['text']}", err=True)


def lines() -> Callable[[Event], None]:
    """Print a line on stderr for each new step, and every ten seconds."""
    last: dict[str, Any] = {"text": "", "at": 0.0}

    def told(event: Event) -> None:
        note_line(event)
        if event["event"] != "progress":
            return
        now = time.monotonic()
        is_new = event["stage"] != last["text"] or event["overall"] >= 1
        if not is_new and now - last["at"] < SECONDS_BETWEEN_LINES:
            return
        last.update(text=event["stage"], at=now)
        typer.echo(f"{100 * event['overall']:3.0f} %  {progress_text(event)}", err=True)

    return told


@contextmanager
def bar() -> Iterator[Callable[[Event], None]]:
    """Show a progress bar with the current step on stderr."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    columns = (BarColumn(), TaskProgressColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True)) as shown:
        task = shown.add_task("", total=1.0)

        def told(event: Event) -> None:
            if event["event"] == "note":
                shown.console.print(f"note: {event['text']}", markup=False, highlight=False)
            elif event["event"] == "progress":
                shown.update(task, completed=event["overall"], description=progress_text(event))

        yield told


def progress_text(event: Event) -> str:
    """Describe the current step and the remaining time of the training that runs."""
    left = event.get("minutes_left")
    if left is None:
        return str(event["text"])
    minutes = counted(max(1, round(left)), "minute")
    return f"{event['text']}, about {minutes} left in this training"


def result_text(result: Mapping[str, Any]) -> str:
    """Describe the result in plain words, and how to continue."""
    found = [result["sentence"]]
    if result["kept"] != "start":
        size = result["size"]
        if size["diameter"] != size["before"]:
            how = (
                "estimated for each image" if size["diameter"] is None
                else f"set to {size['diameter']:.1f} pixels in all images"
            )  # fmt: skip
            found.append(f"The diameter of the cells is {how}.")
        if result["moved"]:
            parameters = ", ".join(
                f"{name} (from {_short(before)} to {_short(now)})"
                for name, (before, now) in result["moved"].items()
            )
            found.append(f"These parameters were changed: {parameters}.")
    found.append(
        f"The model is {result['model']}. Fine-tuning took "
        f"{result['cpu_minutes']:.1f} minutes of CPU time."
    )
    return "\n".join(found)


def _short(value: Any) -> str:
    if value is None:
        return "the default"
    return f"{value:.4g}" if isinstance(value, float) else str(value)

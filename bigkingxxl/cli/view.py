"""`bigkingxxl view` and `bigkingxxl annotate`: look, correct and learn in the browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bigkingxxl.cli.answer import AsJson, print_json

Folder = Annotated[
    Path,
    typer.Argument(
        metavar="DIR", help="A run of `predict`, a folder of images, or an annotated data set."
    ),
]
Port = Annotated[
    int | None,
    typer.Option(min=1, max=65535, help="The port on this machine (default: one that is free)."),
]
Browser = Annotated[
    bool, typer.Option("--browser/--no-browser", help="Open the address in the browser.")
]


def view(
    folder: Folder,
    port: Port = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="The model that predicts a folder of images, and that learning begins with "
            "(default: the run's own, else bundled)."
        ),
    ] = None,
    browser: Browser = True,
    as_json: AsJson = False,
) -> None:
    """Look at cells and correct them in the browser, on this machine alone.

    The folder is one that `bigkingxxl predict` wrote, an annotated data set, or a folder of images,
    which are then predicted while you look (into DIR/cells). What you correct lies in the folder
    `corrections`; the prediction itself stays as it is.

    On another machine, `ssh -L 8717:127.0.0.1:8717 THERE bigkingxxl view DIR --port 8717
    --no-browser` lets you open the printed address here. Ctrl-C ends it; everything is kept.
    """
    _serve(folder, annotate=False, port=port, model=model, browser=browser, as_json=as_json)


def annotate(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of images.")],
    port: Port = None,
    browser: Browser = True,
    as_json: AsJson = False,
) -> None:
    """Draw the cells of images in the browser: as view, but nothing is predicted.

    What you draw lies in DIR/corrections, from which `train --data DIR/corrections` learns.
    """
    _serve(folder, annotate=True, port=port, model=None, browser=browser, as_json=as_json)


def _serve(
    folder: Path,
    *,
    annotate: bool,
    port: int | None,
    model: str | None,
    browser: bool,
    as_json: bool,
) -> None:
    from bigkingxxl.viewer.server.serve import Running, serve
    from bigkingxxl.viewer.server.session import Session

    def started(running: Running, session: Session) -> None:
        if running.moved:
            typer.echo(f"bigkingxxl: another port than usual, {running.port}", err=True)
        if session.shelf.read_only:
            typer.echo(f"bigkingxxl: {session.shelf.read_only}", err=True)
        if as_json:
            print_json({"url": running.url, "port": running.port, "folder": str(folder),
                        "corrections": str(session.shelf.folder),
                        "read_only": session.shelf.read_only})  # fmt: skip
        else:
            typer.echo(running.url)
        typer.echo("open this address in a browser; Ctrl-C ends it, and all changes are kept",
                   err=True)  # fmt: skip

    try:
        serve(folder, annotate=annotate, port=port, model=model, browser=browser, started=started)
    except KeyboardInterrupt:
        typer.echo("ended; all changes are on disk", err=True)

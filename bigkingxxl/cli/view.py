"""`bigkingxxl view` and `bigkingxxl annotate`: view, correct and learn in the browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bigkingxxl.cli.json_output import AsJson, print_json

Folder = Annotated[
    Path,
    typer.Argument(
        metavar="DIR", help="A run of `predict`, a folder of images, or an annotated data set."
    ),
]
Port = Annotated[
    int | None,
    typer.Option(min=1, max=65535, help="Port on this computer (default: any free port)."),
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
            help="Model that predicts a folder of images, and from which training starts "
            "(default: the model of the run, or else bundled)."
        ),
    ] = None,
    browser: Browser = True,
    as_json: AsJson = False,
) -> None:
    """View and correct cells in the browser; the page is served by this computer alone.

    The folder may be one that `bigkingxxl predict` wrote, an annotated data set, or a folder of
    images, which are then predicted while you view them (results: DIR/cells). Your corrections
    are stored in the folder `corrections`; the prediction itself is not changed.

    If the images are on another machine, run `ssh -L 8717:127.0.0.1:8717 SERVER bigkingxxl view
    DIR --port 8717 --no-browser` and open the printed address on your computer. Ctrl-C stops the
    program; nothing is lost.
    """
    _serve(folder, annotate=False, port=port, model=model, browser=browser, as_json=as_json)


def annotate(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of images.")],
    port: Port = None,
    browser: Browser = True,
    as_json: AsJson = False,
) -> None:
    """Draw the cells of images in the browser: like `view`, but without predictions.

    Your annotations are stored in DIR/corrections. To train on them, use `bigkingxxl train
    finetune --data DIR/corrections`.
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
            typer.echo(
                f"bigkingxxl: the usual port is in use; this is port {running.port}", err=True
            )
        if session.store.read_only:
            typer.echo(f"bigkingxxl: {session.store.read_only}", err=True)
        if as_json:
            print_json({"url": running.url, "port": running.port, "folder": str(folder),
                        "corrections": str(session.store.folder),
                        "read_only": session.store.read_only})  # fmt: skip
        else:
            typer.echo(running.url)
        typer.echo("open this address in a browser; Ctrl-C ends it, and all changes are kept",
                   err=True)  # fmt: skip

    try:
        serve(folder, annotate=annotate, port=port, model=model, browser=browser, started=started)
    except KeyboardInterrupt:
        typer.echo("ended; all changes are on disk", err=True)

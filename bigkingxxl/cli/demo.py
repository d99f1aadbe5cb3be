"""`bigkingxxl demo`: every step once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bigkingxxl.cli.json_output import AsJson, print_json
from bigkingxxl.cli.progress import tracker
from bigkingxxl.settings import LARGEST_SEED


def demo(
    data: Annotated[
        Path | None, typer.Option(help="Annotated images of your own (default: simulated images).")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Run folder (default: runs/demo-DATE).")] = None,
    seed: Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Seed of the training.")] = 0,
    as_json: AsJson = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bars.")] = False,
) -> None:
    """Run every step in a few minutes: data, training, prediction, scores, report.

    The exit code is 1 if the simulated cells were not found (competition mAP below 0.25).
    """
    import time

    from bigkingxxl.cli.scores import print_scores
    from bigkingxxl.demo import GOAL, run_demo

    run = out or Path("runs") / time.strftime("demo-%Y%m%d-%H%M%S")

    def tell(line: str) -> None:
        typer.echo(f"demo: {line}", err=True)

    result = run_demo(run, data, seed=seed, quiet=quiet, tell=tell, track=tracker(quiet))
    if as_json:
        print_json({"run": result.run, "worked": result.worked, **result.competition.as_dict(),
                    "coco": result.coco.as_dict()})  # fmt: skip
    else:
        print_scores(result.competition, result.coco)
        typer.echo(f"{result.run}: predictions/submission.csv, predictions/overlays, report.html")
    if not result.worked:
        typer.echo(f"the demo failed: mAP {result.competition.mean:.3f} < {GOAL}", err=True)
        raise typer.Exit(1)

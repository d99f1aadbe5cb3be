"""`bigkingxxl ensemble`: several models and their weights as one file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bigkingxxl.cli.json_output import AsJson, print_json


def ensemble(
    models: Annotated[
        list[str], typer.Argument(help="Model files, shipped names or other ensembles.")
    ],
    out: Annotated[Path, typer.Option(help="The file, such as both.ensemble.")],
    weight: Annotated[
        list[float] | None,
        typer.Option(help="Weight of each model, in order (default: equal)."),
    ] = None,
    tta: Annotated[
        str | None,
        typer.Option(help="Test-time augmentation of all models, such as flips,turns,scales."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Combine several models in one file.

    Use the file wherever a model is expected: `predict --model both.ensemble`, `compare
    both.ensemble ...`, `bk.load("both.ensemble")`. It lists its models by their path relative to
    its own folder, and it refuses a model that has changed since. The thresholds are those of the
    first model, until `bigkingxxl tune both.ensemble --data DATA` chooses weights and thresholds on
    annotated images.
    """
    from bigkingxxl.inference.ensemble_file import read_ensemble, write_ensemble
    from bigkingxxl.shipped_models import name_of
    from bigkingxxl.test_time_augmentation import as_text, asked_augmentations

    views = None if tta is None else asked_augmentations(tta, "--tta")
    write_ensemble(out, models, weight, tta=views)
    members = read_ensemble(out)
    pairs = list(zip(members.files, members.weights, strict=True))
    if as_json:
        print_json({"ensemble": out, "models": [{"model": file, "weight": share}
                                                for file, share in pairs]})  # fmt: skip
    else:
        augmented = f"; augmented by {as_text(views)}" if views else ""
        models_text = ", ".join(f"{name_of(file)} (weight {share:g})" for file, share in pairs)
        typer.echo(f"{out}: {models_text}{augmented}")

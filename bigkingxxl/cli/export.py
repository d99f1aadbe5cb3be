"""`bigkingxxl export`: a trained model for machines without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def export(
    model: Annotated[Path, typer.Argument(help="A trained model.")],
    out: Annotated[Path, typer.Option(help="The file to write; it ends in .onnx.")],
    half: Annotated[
        bool, typer.Option("--half", help="Store weights in 16 bits: half the size.")
    ] = False,
) -> None:
    """Turn a trained model into one that predicts without torch.

    Settings, cell types and operating points go along, and the result is held against torch.
    Fine-tuning can start from the exported file too.
    """
    from bigkingxxl.errors import InputError
    from bigkingxxl.models import ONNX_SUFFIX
    from bigkingxxl.training.export import export as write

    if out.suffix != ONNX_SUFFIX:
        raise InputError(f"--out is {out}, expected a name that ends in {ONNX_SUFFIX}")
    difference = write(model, out, half=half)
    size = out.stat().st_size / 1e6
    typer.echo(f"{out}: {size:.1f} MB, at most {difference:.1e} from torch")

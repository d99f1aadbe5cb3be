"""`bigkingxxl import-weights`: a published network as a model of ours."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bigkingxxl.cli.json_output import AsJson, print_json
from bigkingxxl.cli.train import AllowCode

if TYPE_CHECKING:
    from bigkingxxl.training.import_weights import Imported

SUFFIX = ".safetensors"


def import_weights(
    file: Annotated[
        Path, typer.Argument(help="Weights; of Cellpose also a name, such as nuclei or cyto3.")
    ],
    source: Annotated[
        str, typer.Option("--from", help="Library that wrote the file: torchvision or cellpose.")
    ],
    out: Annotated[Path, typer.Option(help="The file to write; it ends in .safetensors.")],
    config: Annotated[
        str,
        typer.Option(help="For torchvision: a recipe with the network, such as torchvision_v1."),
    ] = "",
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="Change a setting: key=value, as in settings.width=16; repeatable."
        ),
    ] = None,
    allow_code: AllowCode = False,
    types: Annotated[
        str,
        typer.Option(help="Cell types of the model, with commas between (default: the file's)."),
    ] = "",
    file_types: Annotated[
        str, typer.Option(help="The file's own types in order; default: COCO's, if 90.")
    ] = "",
    norm_eps: Annotated[
        float | None,
        typer.Option(
            min=0, help="Epsilon of frozen norms in torchvision; default: 0, as it is published."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Convert weights of torchvision's Mask R-CNN, or of Cellpose, into a model of this package.

    The recipes torchvision_v1 and torchvision_v2 describe the networks of the published files. The
    model gives the same outputs as torchvision's. If you name other cell types (--types), types
    that the file knows keep its weights, and the others start with new ones. Every tensor is
    listed. Files of Cellpose 3.1 and 4 (cpsam), including your own, need no recipe and give
    Cellpose's own flows.
    """
    from bigkingxxl.errors import InputError
    from bigkingxxl.training import import_weights as importer
    from bigkingxxl.training.recipe import load_recipe

    if out.suffix != SUFFIX:
        raise InputError(
            f"--out is {out}, expected a name that ends in {SUFFIX}",
            file=out,
            key="--out",
            expected=SUFFIX,
        )
    if source == "cellpose":
        from bigkingxxl.training.import_cellpose import import_cellpose

        done = import_cellpose(str(file), out, types=_names(types))
    elif source == importer.OFFERED and not config:
        raise InputError(
            "--config is missing: name the recipe of the network, such as torchvision_v1",
            key="--config",
        )
    else:
        done = importer.import_weights(
            file,
            load_recipe(config or "torchvision_v1", settings or (), allow_code=allow_code),
            out, source=source, types=_names(types), file_types=_names(file_types),
            norm_eps=norm_eps,
        )  # fmt: skip
    if as_json:
        print_json(as_dictionary(done, out))
    else:
        typer.echo("\n".join(as_table(done)))
        counts = ", ".join(f"{count} {action}" for action, count in done.counts.items())
        typer.echo(f"{out}: {counts}; {len(done.type_names)} cell types")


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")] if text else []


def as_table(done: Imported) -> list[str]:
    """Format a line for each tensor: what happened to it, its names, shape and reason."""
    rows = [("", "tensor", "shape", "")]
    for line in done.lines:
        renamed = line.name and line.source and line.name != line.source
        name = f"{line.name} ({line.source})" if renamed else line.name or line.source
        rows.append((line.action, name, "x".join(map(str, line.shape)) or "one", line.note))
    widths = [max(len(row[place]) for row in rows) for place in range(4)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def as_dictionary(done: Imported, out: Path) -> dict[str, object]:
    """Return the same for programs."""
    tensors = [
        {"action": line.action, "source": line.source or None, "name": line.name or None,
         "shape": list(line.shape), "note": line.note}
        for line in done.lines
    ]  # fmt: skip
    return {"model": str(out), "type_names": list(done.type_names), "counts": done.counts,
            "tensors": tensors}  # fmt: skip

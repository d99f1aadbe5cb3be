"""`bigkingxxl export`: a trained model for machines without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bigkingxxl.cli.json_output import AsJson, print_json

MOST_IMAGES = 40  # to which 8-bit arithmetic is fitted


def export(
    model: Annotated[Path, typer.Argument(help="A trained model.")],
    out: Annotated[Path, typer.Option(help="The file to write; for onnx it ends in .onnx.")],
    to: Annotated[
        str, typer.Option("--to", help="onnx, or cellpose: a file for Cellpose and its GUI.")
    ] = "onnx",
    half: Annotated[
        bool, typer.Option("--half", help="Store weights in 16 bits: half the size.")
    ] = False,
    int8: Annotated[
        list[str] | None,
        typer.Option(
            metavar="IMAGES",
            help="Compute in 8-bit integers where this loses nothing, which is faster on "
            "processors; IMAGES is a folder of typical images, without annotations. Repeatable.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Turn a trained model into one that predicts without torch.

    Settings, cell types and operating points are kept, and the result is compared with torch.
    Fine-tuning can start from the exported file, too. A model of the method 'cellpose' can also be
    written for Cellpose itself (--to cellpose), without cell types and operating points.
    """
    from bigkingxxl.errors import InputError

    if to == "cellpose":
        _export_cellpose(model, out, int8, as_json=as_json)
    elif to == "onnx":
        _export_onnx(model, out, half, int8 or [], as_json=as_json)
    else:
        raise InputError(
            f"--to is '{to}', expected onnx or cellpose",
            key="--to",
            found=to,
            expected=("onnx", "cellpose"),
        )


def _export_cellpose(model: Path, out: Path, int8: list[str] | None, *, as_json: bool) -> None:
    from bigkingxxl.errors import InputError
    from bigkingxxl.training.export_cellpose import export_cellpose

    if int8:
        raise InputError("--int8 is only for --to onnx: remove it for --to cellpose", key="--int8")
    sizes = export_cellpose(model, out)
    if as_json:
        print_json({"file": out, "diameter": sizes[1], "network_diameter": sizes[0]})
    else:
        typer.echo(f"{out}: cells of {sizes[1]:.1f} pixels, {sizes[0]:.1f} in the network")


def _export_onnx(model: Path, out: Path, half: bool, int8: list[str], *, as_json: bool) -> None:
    from bigkingxxl.errors import InputError
    from bigkingxxl.model_files import ONNX_SUFFIX
    from bigkingxxl.training.export import export as write

    if out.suffix != ONNX_SUFFIX:
        raise InputError(
            f"--out is {out}, expected a name that ends in {ONNX_SUFFIX}",
            file=out,
            key="--out",
            expected=ONNX_SUFFIX,
        )
    typical = _some_images(int8)
    difference = write(model, out, half=half)
    rounded = _round(out, typical) if typical else None
    size = out.stat().st_size
    if as_json:
        print_json({"file": out, "bytes": size, "difference": difference, "int8": rounded})
        return
    typer.echo(
        f"{out}: {size / 1e6:.1f} MB; its maps differ from those of torch by at most "
        f"{difference:.1e}"
    )
    if rounded:
        typer.echo(
            f"{rounded['convolutions']} convolutions compute in 8-bit integers, which changes the "
            f"maps by {rounded['difference']:.1e} on average"
        )


def _some_images(places: list[str]) -> list[Path]:
    """Return about 40 images, evenly spread over the folders and within each.

    Raises:
        InputError: A folder holds no image.
    """
    from bigkingxxl.io.images import find_images

    chosen: list[Path] = []
    for place in places:
        paths = [file.path for file in find_images([place]).files]
        chosen += paths[:: -(-len(paths) * len(places) // MOST_IMAGES)]
    return chosen


def _round(out: Path, typical: list[Path]) -> dict[str, float]:
    from bigkingxxl.io.images import open_image
    from bigkingxxl.training.int8_quantisation import use_int8

    convolutions, difference = use_int8(out, map(open_image, typical))
    return {"convolutions": convolutions, "difference": difference}

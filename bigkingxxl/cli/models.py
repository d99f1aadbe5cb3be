"""`bigkingxxl models`: the models that come with the package, and their cards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from bigkingxxl.cli.json_output import AsJson, print_json

if TYPE_CHECKING:
    from bigkingxxl.shipped_models import ShippedModel

app = typer.Typer(invoke_without_command=True, help="List the shipped models, or show one's card.")
MEGABYTE = 1e6


@app.callback()
def models(context: typer.Context, as_json: AsJson = False) -> None:
    """List the models that come with the package: what they are for, size, licence and data.

    `bigkingxxl models show NAME` prints the card of one.
    """
    if context.invoked_subcommand is not None:
        return
    from bigkingxxl.shipped_models import SHIPPED

    if as_json:
        print_json([described(model) for model in SHIPPED.values() if model.path.is_file()])
        return
    wide = max(map(len, SHIPPED))
    for name, model in SHIPPED.items():
        if not model.path.is_file():
            typer.echo(f"{name:{wide}}  (not part of this installation)")
            continue
        size = model.path.stat().st_size / MEGABYTE
        typer.echo(f"{name:{wide}}  {model.purpose}")
        typer.echo(f"{'':{wide}}  {size:.1f} MB; licence: {model.licence}")
        typer.echo(f"{'':{wide}}  learned from: {', '.join(model.data)}")
    typer.echo("`bigkingxxl models show NAME` prints how a model was made, and its scores.")


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A shipped model.")], as_json: AsJson = False
) -> None:
    """Print the card of a shipped model: how it was made and measured, and where it fails."""
    from bigkingxxl.errors import InputError
    from bigkingxxl.settings import nearest
    from bigkingxxl.shipped_models import SHIPPED, shipped_model

    model = shipped_model(name)
    if model is None:
        raise InputError(
            f"there is no shipped model '{name}'{nearest(name, SHIPPED)}",
            key="model",
            found=name,
            expected=tuple(SHIPPED),
        )
    text = model.card.read_text(encoding="utf-8")
    if as_json:
        print_json({**described(model), "card": text})
    else:
        typer.echo(text, nl=False)


def described(model: ShippedModel) -> dict[str, Any]:
    """Return a description of a model for programs."""
    from bigkingxxl.model_files import model_hash, read_card

    card = read_card(model.path)
    return {
        "name": model.name,
        "purpose": model.purpose,
        "file": model.path,
        "hash": model_hash(model.path),
        "bytes": model.path.stat().st_size,
        "licence": model.licence,
        "data": model.data,
        "method": card.method,
        "cell_types": [each for each in card.type_names if each],
        "median_diameter": card.median_diameter,
        "trained_images": len(card.trained_on),
    }

"""`bigkingxxl template`: scripts for clusters, to be adapted."""

from __future__ import annotations

from typing import Annotated

import typer

from bigkingxxl.cli.json_output import AsJson, print_json


def template(
    name: Annotated[
        str | None,
        typer.Argument(help="slurm, slurm-train, nextflow or snakemake; none lists them."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print a script that runs predictions or a training on a cluster.

    `bigkingxxl template slurm > slurm.sh` makes a file to adapt; how to run it stands at its top.
    """
    from bigkingxxl.cluster.templates import TEMPLATES, read_template

    if as_json:
        print_json({
            each: {"summary": TEMPLATES[each][1], "text": read_template(each)}
            for each in (TEMPLATES if name is None else [name])
        })  # fmt: skip
    elif name is None:
        for each, (_, what) in TEMPLATES.items():
            typer.echo(f"{each:12} {what}")
    else:
        typer.echo(read_template(name), nl=False)

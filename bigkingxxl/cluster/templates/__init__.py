"""Scripts for common schedulers and workflow engines, to be adapted.

What belongs here: scripts that a laboratory copies and adapts, one per engine. What does not: code
that the program runs itself.
"""

from __future__ import annotations

from importlib import resources

from bigkingxxl.errors import InputError
from bigkingxxl.settings import nearest

TEMPLATES = {
    "slurm": ("slurm.sh", "predictions as a SLURM array, with requeue, and the tables after it"),
    "slurm-train": ("slurm-train.sh", "one training on several GPUs and nodes of SLURM"),
    "nextflow": ("nextflow.nf", "predictions as a Nextflow workflow"),
    "snakemake": ("snakemake.smk", "predictions as a Snakemake workflow"),
}


def read_template(name: str) -> str:
    """Return the text of a script.

    Raises:
        InputError: The name is unknown.
    """
    if name not in TEMPLATES:
        raise InputError(
            f"there is no template '{name}'{nearest(name, TEMPLATES)}",
            key="template",
            found=name,
            expected=tuple(TEMPLATES),
        )
    return resources.files(__name__).joinpath(TEMPLATES[name][0]).read_text("utf-8")

"""The result of `bigkingxxl tune`, for readers and for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bigkingxxl.cli import json_output

if TYPE_CHECKING:
    from bigkingxxl.evaluation.augmentation_trial import AugmentationTrial
    from bigkingxxl.evaluation.tuning_report import TuningResult, TypeResult


def print_json(path: Path, target: Path, result: Mapping[str, Any], notes: Sequence[str]) -> None:
    """Print all results, for programs."""
    from bigkingxxl.provenance import provenance

    about = {**provenance(), "model": str(path), "written": str(target), "notes": notes}
    json_output.print_json({**about, **result})


def print_result(
    target: Path, result: TuningResult, notes: Sequence[str], trial: AugmentationTrial | None = None
) -> None:
    """Print one line per cell type, the gain of tuning, and the file written."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE, pad_edge=False)
    heads = ("", "images", "before", "tuned", "repainted", "cross-fitted gain", "parameters")
    for name in heads:
        table.add_column(name, justify="left" if name in ("", "parameters") else "right")
    for name, each in result.by_type.items():
        numbers = (f"{value:.4f}" for value in (each.before, each.after, each.repainted))
        gain = "-" if each.crossfitted_gain is None else f"{each.crossfitted_gain:+.4f}"
        table.add_row(name, f"{each.images}", *numbers, gain, parameters_text(each))
    console = Console(highlight=False, markup=False, width=140)
    console.print(table)
    console.print("Before, tuned and repainted are in-sample, the image's type given.")
    console.print(gain_text(result))
    if trial is not None:
        console.print(str(trial))
    for note in notes:
        console.print(f"Note: {note}.")
    kept = [name for name, each in result.by_type.items() if each.kept]
    console.print(f"{target}: {', '.join(kept) or 'no type'} with new parameters")


def parameters_text(result: TypeResult) -> str:
    """Describe which parameters changed, and whether the change is kept."""
    moved = ", ".join(
        f"{parameter} {_short(before)} to {_short(after)}"
        for parameter, (before, after) in result.moved.items()
    )
    if not moved:
        return "no clear gain: as before"
    return moved if result.kept else f"as before (others did not gain by {moved})"


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def gain_text(result: TuningResult) -> str:
    """Describe the cross-fitted score of the set beside its starting score."""
    before, after = result.start, result.crossfitted
    if after is None:
        return f"Before tuning: mAP {before.mean:.4f}."
    name, pair = "mAP", (before.mean, after.mean)
    if before.challenge_mix is not None and after.challenge_mix is not None:
        name, pair = "challenge-mix mAP", (before.challenge_mix, after.challenge_mix)
    return (
        f"Cross-fitted, as predict finds the cells: {name} {pair[0]:.4f} before, {pair[1]:.4f} "
        f"tuned on the other half ({pair[1] - pair[0]:+.4f})."
    )

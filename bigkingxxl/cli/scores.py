"""Tables of scores on stdout, as printed by `evaluate`, `train` and `demo`."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from bigkingxxl.evaluation.average_precision import CocoTable
    from bigkingxxl.evaluation.competition_map import CompetitionScore
    from bigkingxxl.evaluation.evaluation import Evaluation

WIDTH = 114  # the width of the widest table: a narrow terminal wraps it, and no number is cut


def print_scores(
    competition: CompetitionScore, coco: CocoTable, notes: Sequence[str] = (),
    result: Evaluation | None = None,
) -> None:  # fmt: skip
    """Print both metrics, the numbers of scored and missing images, other metrics, and notes."""
    console = wide_console()
    lines = [f"Competition mAP     {_with_interval(competition.mean, competition.interval)}"]
    if competition.challenge_mix_note is not None:
        lines.append(f"Challenge-mix mAP   none: {competition.challenge_mix_note}")
    elif competition.challenge_mix is not None:
        mix = _with_interval(competition.challenge_mix, competition.challenge_mix_interval)
        lines.append(f"Challenge-mix mAP   {mix}")
    lines.append(_images_line(len(competition.scored), len(competition.missing)))
    console.print("\n".join(lines))
    console.print(competition_table(competition))
    console.print(coco_table(coco))
    if result is not None:
        print_wide(metrics_table(result))
    for note in [*notes, *coco_notes(coco)]:
        console.print(f"Note: {note}.")


def print_metrics(result: Evaluation, notes: Sequence[str] = ()) -> None:
    """Print the requested metrics, the numbers of scored and missing images, and notes."""
    console = wide_console()
    missing = len(result.missing)
    console.print(_images_line(len(result.pairs) - missing, missing))
    print_wide(metrics_table(result))
    for note in notes:
        console.print(f"Note: {note}.")


def print_wide(table: Table) -> None:
    """Print a table at the width that it needs."""
    from rich.console import Console
    from rich.measure import Measurement

    console = wide_console()
    # Measured on a wider console, because a table never requests more than the available width.
    endless = Console(width=10_000)
    needed = Measurement.get(endless, endless.options, table).maximum
    if needed > console.width:
        console = Console(highlight=False, markup=False, width=needed)
    console.print(table)


def wide_console() -> Console:
    """Return a console on which no number is cut."""
    from rich.console import Console

    console = Console(highlight=False, markup=False)
    if console.width < WIDTH:
        console = Console(highlight=False, markup=False, width=WIDTH)
    return console


def _images_line(scored: int, missing: int) -> str:
    line = f"Images              {scored} scored, {missing} missing"
    if not missing:
        return line
    return f"{line} (counted as images without predicted cells; --only-predicted leaves them out)"


def metrics_table(result: Evaluation) -> Table:
    """Create a table of the requested metrics with intervals, also by cell type."""
    from bigkingxxl.display_text import counted

    types = sorted({kind for each in result.scores.estimates for kind in each.by_type})
    varies = result.scores.groups > 1  # else there are no intervals
    what = f"{counted(result.scores.groups, 'group')} by {result.groups.grouped_by}"
    if result.scores.groups == len(result.pairs):
        what = "over images"
    table = plain_table("", "value", *([f"95 %, {what}"] if varies else []), *types)
    for estimate in result.scores.estimates:
        if estimate.value is None and "recall-" in estimate.what.key:
            continue  # a class without cells
        text, ends = estimate.what.text, estimate.interval
        interval = "-" if ends is None else f"{text(ends[0])} to {text(ends[1])}"
        table.add_row(
            estimate.what.name,
            text(estimate.value),
            *([interval] if varies else []),
            *(text(estimate.by_type.get(kind)) for kind in types),
        )
    return table


def _with_interval(value: float, interval: tuple[float, float] | None) -> str:
    if interval is None or isnan(interval[0]):
        return f"{value:.4f}"
    return f"{value:.4f}  (95 %: {interval[0]:.4f} to {interval[1]:.4f})"


def coco_notes(coco: CocoTable) -> list[str]:
    """Return what a reader of COCO's values should know."""
    notes = []
    if not coco.class_aware and coco.typed_truth:
        notes.append("COCO's scores ignore cell types, because the predictions have none")
    if not coco.scored:
        notes.append("the predictions have no scores, so COCO gives all masks the same rank")
    return notes


def competition_table(score: CompetitionScore) -> Table:
    """Create a table of the mAP and the score at each threshold, for all images and by type."""
    from bigkingxxl.evaluation.ranking import THRESHOLDS_PERCENT

    table = plain_table(
        "", "images", "cells", "mAP", *(f"{t / 100:.2f}" for t in THRESHOLDS_PERCENT)
    )
    parts: dict[str, list[Any]] = {"all": list(score.per_image.values()), **score.parts_by_type}
    means = {"all": score.by_threshold, **score.by_type_and_threshold}
    maps = {"all": score.mean, **score.by_type}
    for kind, images in parts.items():
        cells = sum(image.cells for image in images)
        values = (f"{value:.3f}" for value in (maps[kind], *means[kind].values()))
        table.add_row(kind, f"{len(images)}", f"{cells}", *values)
    return table


def coco_table(coco: CocoTable) -> Table:
    """Create a table of COCO's values with one column per limit of detections."""
    from bigkingxxl.evaluation.average_precision import LAYOUT, MAX_DETECTIONS, label

    values = {row[:4]: row.value for row in coco.rows}
    table = plain_table("COCO, detections per image", *(f"{most:,}" for most in MAX_DETECTIONS))
    for line in LAYOUT:
        cells = [
            _number(values[*line, most]) if (*line, most) in values else ""
            for most in MAX_DETECTIONS
        ]
        table.add_row(label(*line), *cells)
    if coco.class_aware:
        for kind, value in coco.by_type.items():
            table.add_row(f"AP, {kind}", *[""] * (len(MAX_DETECTIONS) - 1), _number(value))
    return table


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def plain_table(first: str, *columns: str) -> Table:
    """Create a table without lines, with numbers to the right."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE, pad_edge=False)
    table.add_column(first, no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table

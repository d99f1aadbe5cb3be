"""The sections on the competition mAP and on COCO, and the report of a demo or a training."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.display_text import counted
from bigkingxxl.evaluation.average_precision import MAX_DETECTIONS, CocoTable, label
from bigkingxxl.evaluation.competition_map import CompetitionScore
from bigkingxxl.evaluation.ranking import THRESHOLDS_PERCENT
from bigkingxxl.evaluation.report.charts import Axis, Chart
from bigkingxxl.evaluation.report.page import chart, figures, table, thumbnail, write_page


def write_report(
    path: Path,
    *,
    title: str,
    competition: CompetitionScore | None = None,
    coco: CocoTable | None = None,
    overlays: Mapping[str, NDArray[np.uint8]] | None = None,
    pictures: Mapping[str, bytes] | None = None,
    facts: Mapping[str, object] | None = None,
) -> None:
    """Write the page atomically.

    Args:
        path: The file.
        title: The title of the page.
        competition: The competition mAP; None leaves out its section.
        coco: COCO's table; None leaves out its section.
        overlays: uint8[H, W, 3] or uint8[H, W] pictures by caption, shown with at most 640 pixels.
        pictures: PNG files by caption, such as learning curves.
        facts: Settings, data, seed and versions of the run.

    Raises:
        OutputError: The file cannot be written.
    """
    thumbnails = {caption: thumbnail(pixels) for caption, pixels in (overlays or {}).items()}
    write_page(path, title, [
        table(("", ""), ((name, str(value)) for name, value in (facts or {}).items())),
        *([] if competition is None else competition_section(competition)),
        *([] if coco is None else coco_section(coco)),
        figures("Training", pictures or {}),
        figures("Predicted cells", thumbnails),
    ])  # fmt: skip


def competition_section(score: CompetitionScore) -> list[str]:
    """Return the competition mAP in words, by cell type and threshold, and as charts."""
    low, high = score.interval
    far = "" if np.isnan(low) else f" (95 % bootstrap interval: {low:.4f} to {high:.4f})"
    first = (
        f"The mAP is {score.mean:.4f}{far} over {counted(len(score.per_image), 'image')}. The "
        f"predictions do not contain {len(score.missing)} of these, which score 0."
    )
    mix = score.challenge_mix_interval
    note = score.challenge_mix_note
    second = "" if note is None else f"There is no challenge-mix mAP: {note}."
    if mix is not None:
        second = (
            f"The challenge-mix mAP is {score.challenge_mix:.4f} ({mix[0]:.4f} to {mix[1]:.4f}). "
            "It weights the cell types as the hidden test set does, so compare this value with "
            "published scores."
        )
    header = ("images", "mAP", *(f"{threshold / 100:.2f}" for threshold in THRESHOLDS_PERCENT))
    everything = {"all": (len(score.per_image), score.mean, score.by_threshold)}
    by_type = {
        kind: (len(score.parts_by_type[kind]), score.by_type[kind], means)
        for kind, means in score.by_type_and_threshold.items()
    }
    rows = (
        (kind, str(count), f"{mean:.3f}", *(f"{value:.3f}" for value in means.values()))
        for kind, (count, mean, means) in {**everything, **by_type}.items()
    )
    return [
        "<h2>Competition mAP</h2>",
        *(f"<p>{escape(line)}</p>" for line in (first, second) if line),
        table(("cell type", *header), rows),
        chart(_thresholds(score), "Mean over the images at each IoU threshold, by cell type."),
        chart(_counts(score), "Predicted and annotated cells per image. Each point is an image."),
    ]


def _thresholds(score: CompetitionScore) -> str:
    plot = Chart(Axis("IoU threshold, %", 50, 95), Axis("TP / (TP + FP + FN)"))
    for kind, means in score.by_type_and_threshold.items():
        plot.line(list(means.items()), kind)
    plot.line(list(score.by_threshold.items()), "all images", colour="#000000", dash=True)
    return plot.svg()


def _counts(score: CompetitionScore) -> str:
    parts = score.per_image.values()
    most = max(max(part.cells, part.predicted, 1) for part in parts)
    plot = Chart(Axis("annotated cells", 0, most), Axis("predicted cells", 0, most))
    plot.line([(0, 0), (most, most)], colour="#999")
    plot.points([(part.cells, part.predicted) for part in parts])
    return plot.svg()


def coco_section(coco: CocoTable) -> list[str]:
    """Return COCO's table with one column per limit of detections."""
    values = {row[:4]: row.value for row in coco.rows}
    lines = list(dict.fromkeys(row[:3] for row in coco.rows))
    rows = (
        (label(*line), *(_cell(values, (*line, count)) for count in MAX_DETECTIONS))
        for line in lines
    )
    header = ("", *(f"{count:,} detections" for count in MAX_DETECTIONS))
    notes = "" if coco.class_aware else '<p class="note">Cell types are ignored in this table.</p>'
    return ["<h2>COCO average precision and recall</h2>", table(header, rows), notes]


def _cell(
    values: Mapping[tuple[str, int | None, str, int], float | None],
    line: tuple[str, int | None, str, int],
) -> str:
    if line not in values:
        return ""
    value = values[line]
    return "–" if value is None else f"{value:.3f}"  # noqa: RUF001

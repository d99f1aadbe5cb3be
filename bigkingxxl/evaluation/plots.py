"""Plots of a competition score, as PNG files in memory."""

from __future__ import annotations

import io
from typing import Any

from bigkingxxl.evaluation.competition_map import CompetitionScore, ImageScore

UNTYPED = "no type"


def all_plots(score: CompetitionScore) -> dict[str, bytes]:
    """Caption to PNG: scores by image, by threshold, and how many cells were found."""
    return {
        "Average precision of each image": score_histogram(score),
        "Mean over images at each IoU threshold": threshold_curves(score),
        "Cells found and cells annotated, one point an image": count_scatter(score),
    }


def score_histogram(score: CompetitionScore) -> bytes:
    """How many images reached which average precision, by cell type."""
    drawing, axes = figure("average precision", "images")
    parts = _parts(score)
    values = [[part.score for part in of_kind] for of_kind in parts.values()]
    axes.hist(values, bins=20, range=(0, 1), stacked=True, label=list(parts))
    axes.axvline(score.mean, color="black", linestyle="--", linewidth=1, label="mean")
    axes.legend()
    return png(drawing)


def threshold_curves(score: CompetitionScore) -> bytes:
    """TP / (TP + FP + FN) at each threshold, overall and by cell type."""
    drawing, axes = figure("IoU threshold (%)", "TP / (TP + FP + FN)")
    for kind, means in score.by_type_and_threshold.items():
        axes.plot(list(means), list(means.values()), marker=".", label=kind)
    means = score.by_threshold
    axes.plot(list(means), list(means.values()), color="black", linestyle="--", label="all images")
    axes.set_ylim(0, 1)
    axes.legend()
    return png(drawing)


def count_scatter(score: CompetitionScore) -> bytes:
    """Predicted against annotated cells."""
    drawing, axes = figure("annotated cells", "predicted cells")
    for kind, parts in _parts(score).items():
        axes.scatter(
            [part.cells for part in parts], [part.predicted for part in parts], s=12, label=kind
        )
    most = max(max(part.cells, part.predicted, 1) for part in score.per_image.values())
    axes.plot([0, most], [0, most], color="black", linewidth=0.8)
    axes.legend()
    return png(drawing)


def _parts(score: CompetitionScore) -> dict[str, list[ImageScore]]:
    untyped = [part for part in score.per_image.values() if part.cell_type is None]
    return {**score.parts_by_type, **({UNTYPED: untyped} if untyped else {})}


def figure(x: str, y: str) -> tuple[Any, Any]:
    """A small figure and its axes, by the names of their directions."""
    # Not pyplot: it keeps every figure and picks a backend for the whole process.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 3.4), layout="constrained")
    axes = figure.add_subplot(xlabel=x, ylabel=y)
    return figure, axes


def png(drawing: Any) -> bytes:
    """The figure as a PNG file: the same scores make the same bytes."""
    stream = io.BytesIO()
    # Without the version of matplotlib in it.
    drawing.savefig(stream, format="png", dpi=110, metadata={"Software": None})
    return stream.getvalue()

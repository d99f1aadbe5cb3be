"""The introductory sentences of a report."""

from __future__ import annotations

import numpy as np

from bigkingxxl.display_text import counted
from bigkingxxl.evaluation.metrics.errors import KINDS
from bigkingxxl.evaluation.scoring import Estimate, Scores

MISTAKES = {
    "missed": "missed cells", "spurious": "spurious cells (predicted, but not annotated)",
    "merged": "cells that are merged with their neighbours", "split": "cells that are split",
    "inexact": "cells with an inexact outline",
}  # fmt: skip
FEW = 0.5  # per 100 cells; a less frequent kind is not mentioned


def lead_sentences(scores: Scores, cells: int, missing: int = 0) -> list[str]:
    """Describe how many cells are found, how accurate the counts are, and the main kind of error.

    Args:
        scores: The scores of at least f1, precision, recall, counts and errors.
        cells: The number of annotated cells.
        missing: The number of annotated images that the predictions leave out.
    """
    sentences = [_found(scores, cells), _counts(scores), _mistakes(scores)]
    if missing:
        sentences.insert(0, _missing(missing, len(scores.ids)))
    return sentences


def _missing(missing: int, images: int) -> str:
    return (
        f"The predictions do not contain {missing} of {counted(images, 'annotated image')}. The "
        "scores on this page treat these as images in which no cells were found."
    )


def _found(scores: Scores, cells: int) -> str:
    recall, precision, f1 = (scores.by_key[f"{k}@0.5"] for k in ("recall", "precision", "f1"))
    images = counted(len(scores.ids), "image")
    if recall.value is None:
        return f"No cells are annotated in {images}, so the recall is not defined."
    text = (
        f"Of {counted(cells, 'annotated cell')} in {images}, {share(recall.value)} were found, "
        "that is, overlap with a predicted cell with an IoU of at least 0.5"
    )
    if precision.value is None:
        return f"{text}. No cells were predicted."
    return (
        f"{text}. Of the predicted cells, {share(precision.value)} match an annotated cell. F1 is "
        f"{with_interval(f1)}."
    )


def _counts(scores: Scores) -> str:
    bias, low, high, relative = (
        scores.by_key[f"counts.{name}"].value for name in ("bias", "low", "high", "relative")
    )
    if bias is None:
        return "There are no images with counts."
    more = "more" if bias > 0 else "fewer"
    far = "" if relative is None else f" ({relative:+.0f} % of the annotated cells)"
    text = f"On average, {abs(bias):.1f} {more} cells per image were predicted than annotated{far}"
    if abs(bias) < FEW / 10:
        text = "On average, as many cells per image were predicted as annotated"
    if low is None or high is None:
        return f"{text}."
    return (
        f"{text}. For 95 % of images, the difference is expected to lie between {low:+.0f} and "
        f"{high:+.0f} cells."
    )


def _mistakes(scores: Scores) -> str:
    rates = {kind: scores.by_key[f"errors.{kind}"].value or 0 for kind in KINDS}
    kind, rate = max(rates.items(), key=lambda item: item[1])
    f1 = scores.per_image["f1@0.5"]
    known = np.flatnonzero(~np.isnan(f1))
    spread = ""
    if len(known) > 1:
        worst, best = known[f1[known].argmin()], known[f1[known].argmax()]
        spread = (
            f" The image {scores.ids[worst]} has the lowest F1 ({f1[worst]:.2f}), and "
            f"{scores.ids[best]} has the highest ({f1[best]:.2f})."
        )
    if rate < FEW:
        return f"All kinds of errors are rare.{spread}"
    return (
        f"The most frequent errors are {MISTAKES[kind]}: {rate:.0f} per 100 annotated "
        f"cells.{spread}"
    )


def share(value: float) -> str:
    """Format a fraction as per cent."""
    return f"{100 * value:.0f} %"


def with_interval(estimate: Estimate) -> str:
    """Format a value with its interval."""
    text = estimate.what.text
    if estimate.interval is None:
        return text(estimate.value)
    low, high = map(text, estimate.interval)
    return f"{text(estimate.value)} (95 % confidence interval: {low} to {high})"

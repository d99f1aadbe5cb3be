"""The introductory sentences of a report."""

from __future__ import annotations

import numpy as np

from bigkingxxl.display_text import counted
from bigkingxxl.evaluation.metrics.errors import KINDS
from bigkingxxl.evaluation.scoring import Estimate, Scores

MISTAKES = {
    "missed": "cells that are missed", "spurious": "cells found where there are none",
    "merged": "cells merged with their neighbours", "split": "cells split into parts",
    "inexact": "cells whose outline is inexact",
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
        f"The predictions leave out {missing} of {counted(images, 'annotated image')}, and the "
        "scores on this page treat these as images in which no cells were found."
    )


def _found(scores: Scores, cells: int) -> str:
    recall, precision, f1 = (scores.by_key[f"{k}@0.5"] for k in ("recall", "precision", "f1"))
    images = counted(len(scores.ids), "image")
    if recall.value is None:
        return f"No cell is annotated in {images}, so nothing can be said of how many are found."
    text = (
        f"Of {counted(cells, 'annotated cell')} in {images}, {share(recall.value)} are found "
        "(outlines overlap by half or more)"
    )
    if precision.value is None:
        return f"{text}: the method finds nothing."
    return (
        f"{text}, and {share(precision.value)} of the cells that the method finds are real: F1 "
        f"{with_interval(f1)}."
    )


def _counts(scores: Scores) -> str:
    bias, low, high, relative = (
        scores.by_key[f"counts.{name}"].value for name in ("bias", "low", "high", "relative")
    )
    if bias is None:
        return "There are no images to count in."
    more = "more" if bias > 0 else "fewer"
    far = "" if relative is None else f" ({relative:+.0f} % of all cells)"
    text = f"On average it counts {abs(bias):.1f} cells {more} per image than were annotated{far}"
    if abs(bias) < FEW / 10:
        text = "On average it counts as many cells per image as were annotated"
    if low is None or high is None:
        return f"{text}."
    return (
        f"{text}; for 95 % of images the difference is expected between {low:+.0f} and {high:+.0f}."
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
            f"; by F1 the worst image is {scores.ids[worst]} ({f1[worst]:.2f}), the best "
            f"{scores.ids[best]} ({f1[best]:.2f})"
        )
    if rate < FEW:
        return f"Mistakes of every kind are rare{spread}."
    return (
        f"The most frequent mistakes are {MISTAKES[kind]}: {rate:.0f} per 100 annotated "
        f"cells{spread}."
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
    return f"{text(estimate.value)} (95 %: {low} to {high})"

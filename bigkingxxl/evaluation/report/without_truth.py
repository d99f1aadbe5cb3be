"""The report of a run without annotations: counts, sizes, expected quality and doubtful cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.display_text import counted
from bigkingxxl.errors import BigKingXXLError, InputError
from bigkingxxl.evaluation.error_kinds import FOUND
from bigkingxxl.evaluation.report.charts import Axis, Chart
from bigkingxxl.evaluation.report.evaluation_report import (
    MOST_BYTES,
    MOST_PICTURES,
    featured,
)
from bigkingxxl.evaluation.report.gallery import DOUBTFUL, LONGEST_SIDE, cells_picture, colour_key
from bigkingxxl.evaluation.report.page import (
    chart,
    heading,
    image_name,
    paragraph,
    picture,
    table,
    write_page,
)
from bigkingxxl.evaluation.report.sentences import share
from bigkingxxl.images import ImageSource
from bigkingxxl.instances import Instances
from bigkingxxl.io.tables.summary import ImageSummary
from bigkingxxl.runs.corrected import correction_sentence
from bigkingxxl.runs.image_result import ImageResult
from bigkingxxl.runs.reader import Run

DOUBT = 0.5  # a cell with a lower score is doubtful
BINS = 20


@dataclass(frozen=True, eq=False)
class Reported:
    """An image of a run.

    Attributes:
        result: Where it is read from.
        cells: Its cells, corrected or not.
        summary: Its row of `summary.csv`.
    """

    result: ImageResult
    cells: Instances
    summary: ImageSummary

    @property
    def name(self) -> str:
        """The id of the image."""
        return self.result.name

    @property
    def doubtful(self) -> NDArray[np.bool_]:
        """The cells with a score below 0.5, bool[N]; none without scores."""
        score = self.cells.score
        # A cell that a person drew has the score NaN, which is not below the limit.
        return np.zeros(len(self.cells), bool) if score is None else score < DOUBT

    @property
    def doubt(self) -> float:
        """The fraction of doubtful cells; 0 without cells."""
        return float(self.doubtful.mean()) if len(self.cells) else 0.0

    @property
    def quality(self) -> float | None:
        """The expected quality of the image, or None if the model does not predict it."""
        return self.summary.expected_quality


def write_run_report(path: Path, run: Run, *, title: str) -> str:
    """Write the report of a run atomically.

    Returns:
        A sentence that says whether the cells shown are corrected.

    Raises:
        InputError: The run has no image with records of cells.
        OutputError: The file cannot be written.
    """
    images = [
        Reported(result, result.cells, result.summary) for result in run.values()
        if not result.failure
    ]  # fmt: skip
    if not images:
        raise InputError(
            f"{run.folder} has no image whose cells could be reported", file=run.folder
        )
    order = sorted(images, key=_trust)
    told = correction_sentence(run.folder, [image.result.corrected for image in images])
    pictures = _pictures(order)
    failed = [(name, why) for name, why in run.failed.items()]
    write_page(path, title, [
        paragraph(" ".join(_sentences(images)), "lead"),
        paragraph(f"{told[0].upper()}{told[1:]}."),
        *_sizes(images),
        *_counts(images),
        *_scores(images),
        heading("Pictures, images to check first"),
        colour_key(FOUND, DOUBTFUL),
        *_gallery(order, pictures),
        heading("All images"),
        _table(order, pictures),
        *([heading("Images without a result"),
           table(("image", "reason"), failed)] if failed else []),
    ])  # fmt: skip
    return told


def _trust(image: Reported) -> tuple[float, float, str]:
    """Return a sort key that puts the images to check first."""
    return (1.0 if image.quality is None else image.quality, -image.doubt, image.name)


def _sentences(images: Sequence[Reported]) -> list[str]:
    counts = np.array([len(image.cells) for image in images])
    areas = np.concatenate([np.zeros(0, np.int64), *(image.cells.areas() for image in images)])
    text = (
        f"{counted(int(counts.sum()), 'cell', 'was', 'were')} found in "
        f"{counted(len(images), 'image')}: between {counts.min():,} and {counts.max():,} per "
        f"image, with a median of {np.median(counts):,.0f}."
    )
    if not len(areas):
        return [text, "Check the pictures below."]
    low, middle, high = np.percentile(areas, (10, 50, 90))
    sizes = (
        f"The median area of a cell is {middle:,.0f} pixels; 80 % of the cells have an area "
        f"between {low:,.0f} and {high:,.0f} pixels."
    )
    doubtful = sum(int(image.doubtful.sum()) for image in images)
    worst = min(images, key=_trust)
    warned = sum(bool(image.summary.warnings) for image in images)
    look = f"{share(doubtful / len(areas))} of the cells are doubtful (score below {DOUBT:g})"
    if warned:
        look += f", and {counted(warned, 'image', 'has', 'have')} a warning"
    return [text, sizes, f"{look}. Check the image {worst.name} first."]


def _sizes(images: Sequence[Reported]) -> list[str]:
    areas = np.concatenate([np.zeros(0, np.int64), *(image.cells.areas() for image in images)])
    if not len(areas):
        return []
    counts, edges = np.histogram(np.log2(areas), bins=BINS)
    middle, width = (edges[1:] + edges[:-1]) / 2, float(edges[1] - edges[0])
    first, last = int(np.floor(edges[0])), int(np.ceil(edges[-1]))
    step = max(1, (last - first) // 7)
    plot = Chart(
        Axis("area of a cell, pixels (logarithmic)", first, max(last, first + 1)),
        Axis("number of cells", 0, 1.08 * counts.max()),
        names={float(k): f"{2.0**k:g}" for k in range(first, last + 1, step)},
    )
    plot.bars(list(zip(middle.tolist(), counts.tolist(), strict=True)), 0.9 * width)
    told = "Histogram of the areas of all cells."
    return [heading("Size of the cells"), chart(plot.svg(), told)]


def _counts(images: Sequence[Reported]) -> list[str]:
    counts = [len(image.cells) for image in images]
    covered = [image.summary.confluence_percent or 0.0 for image in images]
    plot = Chart(
        Axis.around("cells per image", counts, zero=True),
        Axis.around("confluence, %", covered, zero=True),
    )
    points = list(zip(map(float, counts), covered, strict=True))
    plot.points(points, ids=[image.name for image in images])
    told = (
        "Number of cells and confluence, the percentage of the image that cells cover. Each point "
        "is an image and a link to its picture."
    )
    return [heading("Number of cells and confluence"), chart(plot.svg(), told)]


def _scores(images: Sequence[Reported]) -> list[str]:
    known = [np.asarray(image.cells.score) for image in images if image.cells.score is not None]
    scores = np.concatenate([np.zeros(0), *known])
    scores = scores[np.isfinite(scores)]
    if not len(scores):
        return []
    counts, edges = np.histogram(scores, bins=BINS, range=(0, 1))
    plot = Chart(Axis("score of a cell"), Axis("number of cells", 0, 1.08 * counts.max()))
    middle = (edges[1:] + edges[:-1]) / 2
    plot.bars(list(zip(middle.tolist(), counts.tolist(), strict=True)), 0.9 / BINS)
    told = f"Histogram of the scores of all cells. Cells with a score below {DOUBT:g} are doubtful."
    return [heading("Scores of the cells"), chart(plot.svg(), told)]


def _pictures(order: Sequence[Reported]) -> dict[str, str]:
    """Return HTML pictures by image id, as many as fit on a page."""
    chosen = list(order)
    if len(order) > MOST_PICTURES:
        names = {name for group in featured([each.name for each in order]).values()
                 for name in group}  # fmt: skip
        chosen = sorted(order, key=lambda image: image.name not in names)[:MOST_PICTURES]
    found: dict[str, str] = {}
    spent = 0
    for image in chosen:
        source = _source(image.result)
        content = cells_picture(image.cells, image.doubtful, source)
        left = (MOST_BYTES - spent) / (len(chosen) - len(found))
        if len(content) > 1.5 * left:
            side = max(int(LONGEST_SIDE * np.sqrt(left / len(content))), 160)
            content = cells_picture(image.cells, image.doubtful, source, side)
        spent += len(content)
        caption = (
            f"{image.name}: {counted(len(image.cells), 'cell')}, {share(image.doubt)} doubtful"
        )
        found[image.name] = picture(caption, content, name=image.name, kind="jpeg")
    return found


def _source(result: ImageResult) -> ImageSource | None:
    try:
        return result.source
    except BigKingXXLError:
        return None


def _gallery(order: Sequence[Reported], pictures: dict[str, str]) -> list[str]:
    shown = [pictures[image.name] for image in order if image.name in pictures]
    left = len(order) - len(shown)
    more = (
        [paragraph(f"The page shows no picture of {counted(left, 'other image')}.", "note")]
        if left
        else []
    )
    return [*shown, *more]


def _table(order: Sequence[Reported], pictures: dict[str, str]) -> str:
    rows = [
        (
            image_name(image.name, pictures),
            str(len(image.cells)), share(image.doubt), _number(image.quality, 2),
            _number(image.summary.confluence_percent, 1), _number(image.summary.median_area, 0),
            "; ".join(image.summary.warnings),
        )
        for image in order
    ]  # fmt: skip
    header = ("image", "cells", "doubtful cells", "expected quality", "confluence, %",
              "median area, pixels", "warnings")  # fmt: skip
    return table(header, rows, raw=(0,))


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"

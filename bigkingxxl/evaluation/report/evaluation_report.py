"""The report of one method against the truth, and of several methods in comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

import numpy as np

from bigkingxxl.display_text import counted
from bigkingxxl.errors import InputError
from bigkingxxl.evaluation.comparison import Comparison
from bigkingxxl.evaluation.comparison_table import table_cells
from bigkingxxl.evaluation.error_kinds import FOUND, INEXACT, MERGED, MISSED, SPLIT, SPURIOUS
from bigkingxxl.evaluation.evaluation import Evaluation
from bigkingxxl.evaluation.report.gallery import (
    ANNOTATED,
    LONGEST_SIDE,
    SourceOf,
    colour_key,
    error_picture,
    opened,
)
from bigkingxxl.evaluation.report.page import (
    heading,
    paragraph,
    picture,
    table,
    write_page,
)
from bigkingxxl.evaluation.report.run_page import coco_section, competition_section
from bigkingxxl.evaluation.report.sections import (
    BY_CELL_TYPE,
    Shown,
    calibration_section,
    counts_section,
    curves_section,
    formulas_section,
    images_section,
    precision_recall_section,
    recall_section,
    scores_section,
    types_section,
)
from bigkingxxl.evaluation.report.sentences import lead_sentences
from bigkingxxl.evaluation.truth import Truth
from bigkingxxl.images import ImageSource

BY_TYPE = ("map", "f1@0.5", "precision@0.5", "recall@0.5", "pq", "counts.bias", "errors.missed")
MOST_PICTURES = 100
EACH_GALLERY = 4  # worst, typical and best images
MOST_BYTES = 9_000_000  # of pictures, so that a page with its text stays below 15 MB


def sources_of(truth: Truth) -> SourceOf:
    """Return a function that opens the images of the truth, if there are any."""
    from bigkingxxl.data.dataset import open_dataset

    try:
        dataset = open_dataset(truth.path)
    except InputError:
        return no_source
    known = frozenset(dataset.ids)
    return lambda image_id: dataset.source(image_id) if image_id in known else None


def no_source(image_id: str) -> ImageSource | None:  # noqa: ARG001
    """Return no image."""
    return None


def write_evaluation_report(
    path: Path,
    evaluation: Evaluation,
    source_of: SourceOf,
    *,
    title: str,
    facts: Mapping[str, object] | None = None,
    notes: Sequence[str] = (),
) -> None:
    """Write the report of one method atomically.

    Args:
        path: The file.
        evaluation: The scores.
        source_of: Opens an image, or returns None if there is none.
        title: The title of the page.
        facts: What was compared.
        notes: Sentences that a reader should know.

    Raises:
        OutputError: The file cannot be written.
    """
    shown = Shown(title, evaluation)
    cells = sum(len(pair.truth_areas) for pair in evaluation.pairs.values())
    pictures = _pictures(evaluation, source_of, order_by_f1(shown))
    write_page(path, title, [
        paragraph(" ".join(lead_sentences(shown.scores, cells, len(evaluation.missing))), "lead"),
        table(("", ""), ((name, str(value)) for name, value in (facts or {}).items())),
        *(paragraph(f"Note: {note}.", "note") for note in notes),
        *scores_section([shown]),
        *curves_section([shown]),
        *precision_recall_section([shown]),
        *counts_section([shown]),
        *recall_section([shown]),
        *calibration_section([shown]),
        *types_section(shown, BY_TYPE),
        *_gallery(shown, pictures),
        *images_section([shown], pictures),
        *(competition_section(evaluation.competition) if evaluation.is_disjoint else []),
        *coco_section(evaluation.coco),
        *formulas_section([shown]),
    ])  # fmt: skip


def order_by_f1(shown: Shown) -> list[str]:
    """Sort the images from worst to best; those without cells come last."""
    f1 = shown.scores.per_image["f1@0.5"]
    order = np.argsort(np.where(np.isnan(f1), 2, f1), kind="stable")
    return [shown.scores.ids[place] for place in order.tolist()]


def _pictures(evaluation: Evaluation, source_of: SourceOf, order: Sequence[str]) -> dict[str, str]:
    """Return HTML pictures by image id, as many as fit on a page, the gallery first."""
    chosen = _featured(order)
    chosen += [name for name in order if name not in set(chosen)]
    found: dict[str, str] = {}
    spent = 0
    for name in chosen[:MOST_PICTURES]:
        pair = evaluation.pairs[name]
        # The remaining size is divided among the remaining pictures.
        left = (MOST_BYTES - spent) / (min(len(chosen), MOST_PICTURES) - len(found))
        content = error_picture(pair, opened(source_of, name))
        if len(content) > 1.5 * left:
            side = int(LONGEST_SIDE * np.sqrt(left / len(content)))
            content = error_picture(pair, opened(source_of, name), max(side, 160))
        spent += len(content)
        f1 = evaluation_caption(evaluation, name)
        found[name] = picture(f"{name}: {f1}", content, name=name, kind="jpeg")
    return found


def evaluation_caption(evaluation: Evaluation, name: str) -> str:
    """Describe the annotated, found and predicted cells of an image in a few words."""
    pair = evaluation.pairs[name]
    if not pair.named:
        cells = counted(len(pair.truth_areas), "cell")
        return f"{cells} annotated; the predictions do not contain this image"
    return (
        f"{len(pair.hits().pair)} of {len(pair.truth_areas)} annotated cells found; "
        f"{counted(len(pair.predicted_areas), 'predicted cell')}"
    )


def _featured(order: Sequence[str]) -> list[str]:
    """Return the worst, typical and best images of a list sorted from worst to best."""
    groups = featured(order)
    return [name for names in groups.values() for name in names]


def featured(order: Sequence[str]) -> dict[str, list[str]]:
    """Return the images of the gallery by category, without duplicates."""
    if len(order) <= 3 * EACH_GALLERY:
        return {"All images, lowest F1 first": list(order)}
    middle = (len(order) - EACH_GALLERY) // 2
    return {
        "Lowest F1": list(order[:EACH_GALLERY]),
        "Median F1": list(order[middle : middle + EACH_GALLERY]),
        "Highest F1": list(order[-EACH_GALLERY:][::-1]),
    }


def _gallery(shown: Shown, pictures: Mapping[str, str]) -> list[str]:
    """Return the worst, typical and best images by F1, then the others in a collapsed section."""
    groups = featured(order_by_f1(shown))
    parts = [
        heading("Pictures: found, missed, merged, split and spurious cells"),
        colour_key(ANNOTATED, FOUND, MISSED, SPURIOUS, MERGED, SPLIT, INEXACT),
    ]
    inside = set()
    for name, images in groups.items():
        parts.append(f"<h3>{escape(name)}</h3>")
        parts += [pictures[image] for image in images if image in pictures]
        inside |= set(images)
    others = [html for image, html in pictures.items() if image not in inside]
    left = len(shown.scores.ids) - len(pictures)
    # Links cannot open collapsed sections, so these images are outside.
    parts += ["<h3>Other images</h3>", *others] if others else []
    if left:
        parts.append(
            paragraph(f"The page shows no picture of {counted(left, 'other image')}.", "note")
        )
    return parts


def write_comparison_report(path: Path, comparison: Comparison, truth: Truth) -> None:
    """Write the report of several methods atomically.

    Raises:
        OutputError: The file cannot be written.
    """
    shown = [Shown(entry.name, entry.evaluation) for entry in comparison.entries]
    cells = table_cells(comparison)
    source_of = sources_of(truth)
    pictures = _side_by_side(shown, source_of)
    write_page(path, _comparison_title([entry.name for entry in comparison.entries]), [
        paragraph(" ".join(_comparison_sentences(comparison)), "lead"),
        table(cells.header, cells.rows),
        paragraph(f"{cells.caption}.", "note"),
        *(paragraph(f"Note: {note}.", "note") for note in comparison.notes),
        *scores_section(shown),
        *curves_section(shown),
        *precision_recall_section(shown),
        *counts_section(shown),
        *recall_section(shown),
        *calibration_section(shown),
        *(part for each in shown for part in _named_types(each)),
        heading("Images with the largest differences in F1"),
        colour_key(ANNOTATED, FOUND, MISSED, SPURIOUS, MERGED, SPLIT, INEXACT),
        *pictures.values(),
        *images_section(shown, pictures),
        *formulas_section(shown),
    ])  # fmt: skip


def _comparison_title(names: Sequence[str]) -> str:
    shown = ", ".join(names[:4])
    left = len(names) - 4
    return f"Comparison of {shown}" + (f" and {counted(left, 'other method')}" if left > 0 else "")


def _named_types(each: Shown) -> list[str]:
    return [part.replace(BY_CELL_TYPE, escape(f"{BY_CELL_TYPE}: {each.name}"), 1)
            for part in types_section(each, BY_TYPE)]  # fmt: skip


def _comparison_sentences(comparison: Comparison) -> list[str]:
    """Describe the scores of the methods, their differences, and whether these are clear."""
    metric = comparison.entries[0].evaluation.scores.metrics[0].values[0]
    values = {
        entry.name: entry.evaluation.scores.by_key[metric.key].value for entry in comparison.entries
    }
    told = ", ".join(f"{metric.text(value)} ({name})" for name, value in values.items())
    images = counted(len(comparison.ids), "image")
    sentences = [
        f"This page compares {counted(len(values), 'method')} on {images}.",
        f"The {metric.label} is: {told}.",
    ]
    first = comparison.entries[0].name
    for name, gaps in comparison.differences.items():
        gap = next(each for each in gaps if each.what.key == metric.key)
        if gap.value is None:
            continue
        sign = metric._replace(better=0).text
        ends = gap.interval
        far = (
            ""
            if ends is None
            else f" (95 % confidence interval: {sign(ends[0])} to {sign(ends[1])})"
        )
        clear = "is clear" if gap.is_clear else "may be due to chance"
        sentences.append(
            f"The difference between {name} and {first} is {sign(gap.value)}{far}; it {clear}."
        )
    return sentences


def _side_by_side(shown: Sequence[Shown], source_of: SourceOf) -> dict[str, str]:
    """Return pictures of every method for the images whose F1 differs most."""
    f1 = np.array([each.scores.per_image["f1@0.5"] for each in shown])
    gap = np.nanmax(np.where(np.isnan(f1), 0, f1), axis=0) - np.nanmin(
        np.where(np.isnan(f1), 0, f1), axis=0
    )
    found = {}
    for place in np.argsort(-gap, kind="stable")[: 2 * EACH_GALLERY].tolist():
        name = shown[0].scores.ids[place]
        source = opened(source_of, name)
        parts = []
        for number, each in enumerate(shown):
            pair = each.evaluation.pairs[name]
            content = error_picture(pair, source, LONGEST_SIDE * 2 // 3)
            caption = f"{name}, {each.name}: {evaluation_caption(each.evaluation, name)}"
            parts.append(picture(caption, content, name="" if number else name, kind="jpeg"))
        found[name] = f"<div>{''.join(parts)}</div>"
    return found

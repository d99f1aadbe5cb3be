"""One self-contained HTML page of what a run scored and how it looks: no other file is needed."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.evaluation.average_precision import MAX_DETECTIONS, CocoTable, label
from bigkingxxl.evaluation.competition_map import CompetitionScore
from bigkingxxl.evaluation.ranking import THRESHOLDS_PERCENT
from bigkingxxl.files import write_text

THUMBNAIL_SIDE = 640
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 76rem; margin: 2rem auto; padding: 0 1rem;
       color: #1c1c1c; background: #fff }
table { border-collapse: collapse; margin: .5rem 0 1.5rem }
th, td { padding: .25rem .7rem; border-bottom: 1px solid #ddd; text-align: right }
th:first-child, td:first-child { text-align: left }
figure { display: inline-block; margin: 0 1rem 1rem 0; vertical-align: top }
figure img { max-width: 100%; display: block } figcaption { color: #555; font-size: .9em }
.note { color: #555 }
"""


def write_report(
    path: Path,
    *,
    title: str,
    competition: CompetitionScore | None = None,
    coco: CocoTable | None = None,
    overlays: Mapping[str, NDArray[np.uint8]] | None = None,
    figures: Mapping[str, bytes] | None = None,
    facts: Mapping[str, object] | None = None,
) -> None:
    """Write the page whole or not at all.

    Args:
        competition, coco: the scores; what is None has no section.
        overlays: caption to uint8[H, W, 3] (or [H, W]) picture, shown at 640 pixels at most.
        figures: caption to PNG file, such as learning curves.
        facts: what the run was: settings, data, seed, versions.

    Raises:
        OutputError: the file cannot be written.
    """
    pictures = {caption: thumbnail(pixels) for caption, pixels in (overlays or {}).items()}
    sections = [
        _table(("", ""), ((name, str(value)) for name, value in (facts or {}).items())),
        *([] if competition is None else _competition(competition)),
        *([] if coco is None else _coco(coco)),
        _figures("Training", figures or {}),
        _figures("Cells found", pictures),
    ]
    body = "\n".join(section for section in sections if section)
    write_text(
        path,
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}'
        f"</title><style>{STYLE}</style></head>\n<body><h1>{escape(title)}</h1>\n{body}\n"
        "</body></html>\n",
    )


def thumbnail(pixels: NDArray[np.uint8], side: int = THUMBNAIL_SIDE) -> bytes:
    """A PNG file of uint8[H, W, 3] or uint8[H, W], shrunk to at most `side` pixels either way."""
    from PIL import Image

    image = Image.fromarray(pixels)
    image.thumbnail((side, side))
    stream = io.BytesIO()
    image.save(stream, format="PNG", optimize=True)
    return stream.getvalue()


def _competition(score: CompetitionScore) -> list[str]:
    from bigkingxxl.evaluation.plots import all_plots

    low, high = score.interval
    first = (
        f"mAP {score.mean:.4f} (95 % of bootstrap samples: {low:.4f} to {high:.4f}) over "
        f"{len(score.per_image)} images, {len(score.missing)} of them missing in the predictions "
        "and counted as 0."
    )
    mix = score.challenge_mix_interval
    second = f"No challenge-mix mAP: {score.challenge_mix_note}."
    if mix is not None:
        second = (
            f"Challenge-mix mAP {score.challenge_mix:.4f} ({mix[0]:.4f} to {mix[1]:.4f}): the one "
            "to hold against published scores."
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
        *(f"<p>{escape(line)}</p>" for line in (first, second)),
        _table(("cell type", *header), rows),
        _figures("", all_plots(score)),
    ]


def _coco(table: CocoTable) -> list[str]:
    values = {row[:4]: row.value for row in table.rows}
    lines = list(dict.fromkeys(row[:3] for row in table.rows))
    rows = (
        (label(*line), *(_cell(values, (*line, count)) for count in MAX_DETECTIONS))
        for line in lines
    )
    header = ("", *(f"{count:,} detections" for count in MAX_DETECTIONS))
    notes = "" if table.class_aware else '<p class="note">Cell types are not told apart here.</p>'
    return ["<h2>COCO average precision and recall</h2>", _table(header, rows), notes]


def _cell(
    values: Mapping[tuple[str, int | None, str, int], float | None],
    line: tuple[str, int | None, str, int],
) -> str:
    if line not in values:
        return ""
    value = values[line]
    return "–" if value is None else f"{value:.3f}"  # noqa: RUF001


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["".join(f"<td>{escape(text)}</td>" for text in row) for row in rows]
    if not lines:
        return ""
    head = "".join(f"<th>{escape(text)}</th>" for text in header)
    head = f"<thead><tr>{head}</tr></thead>" if any(header) else ""
    return f"<table>{head}<tbody>{''.join(f'<tr>{line}</tr>' for line in lines)}</tbody></table>"


def _figures(heading: str, pictures: Mapping[str, bytes]) -> str:
    if not pictures:
        return ""
    items = "\n".join(
        f'<figure><img alt="{escape(caption)}" src="data:image/png;base64,'
        f'{base64.b64encode(png).decode("ascii")}"><figcaption>{escape(caption)}</figcaption>'
        "</figure>"
        for caption, png in pictures.items()
    )
    return (f"<h2>{escape(heading)}</h2>\n" if heading else "") + items

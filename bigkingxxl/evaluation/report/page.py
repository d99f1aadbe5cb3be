"""The parts of an HTML page: text, tables, pictures and charts. All text is escaped here."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Container, Iterable, Mapping, Sequence
from html import escape
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.files import write_text

THUMBNAIL_SIDE = 640
START = "<!doctype html>"
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 76rem; margin: 2rem auto; padding: 0 1rem;
       color: #1c1c1c; background: #fff }
h1 { font-size: 1.7rem } h2 { margin-top: 2.2rem; border-bottom: 1px solid #ddd }
table { border-collapse: collapse; margin: .5rem 0 1.5rem; font-variant-numeric: tabular-nums }
th, td { padding: .25rem .7rem; border-bottom: 1px solid #ddd; text-align: right;
         vertical-align: top }
th:first-child, td:first-child, td.text, th.text { text-align: left }
figure { display: inline-block; margin: 0 1rem 1rem 0; vertical-align: top; max-width: 100% }
figure img, figure svg { max-width: 100%; height: auto; display: block }
figcaption { color: #555; font-size: .9em; max-width: 46rem }
.note { color: #555 } .lead { font-size: 1.1rem; max-width: 52rem }
.key { display: inline-block; width: .9em; height: .9em; margin: 0 .25em 0 .9em;
       vertical-align: -.1em; border: 1px solid #555 }
a { color: #0b5394 } .wide td { text-align: left; font-size: .88em }
/* On paper, three pictures or two charts share a row: 100 images take about ten pages. */
@page { margin: 14mm }
@media print { body { margin: 0; padding: 0; max-width: none; font-size: 10px } a { color: inherit;
  text-decoration: none } h2, h3 { break-after: avoid } figure, tr { break-inside: avoid }
  th, td { padding: .1rem .4rem } figure { margin: 0 1% .6rem 0 } figure.picture { width: 32% }
  figure.chart { width: 47% } figure img, figure svg { width: 100% } }
"""


def write_page(path: Path, title: str, parts: Iterable[str]) -> None:
    """Write a page atomically; empty parts are left out.

    Raises:
        OutputError: The file cannot be written.
    """
    body = "\n".join(part for part in parts if part)
    write_text(
        path,
        f'{START}\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
        f'content="width=device-width"><title>{escape(title)}</title><style>{STYLE}</style></head>'
        f"\n<body><h1>{escape(title)}</h1>\n{body}\n</body></html>\n",
    )


def heading(text: str) -> str:
    """Return the heading of a section."""
    return f"<h2>{escape(text)}</h2>"


def paragraph(text: str, kind: str = "") -> str:
    """Return a paragraph, optionally with a CSS class."""
    return f"<p{f' class={chr(34)}{kind}{chr(34)}' if kind else ''}>{escape(text)}</p>"


def anchor(name: str) -> str:
    """Return the anchor of an image, unique for each id."""
    plain = re.sub(r"[^A-Za-z0-9_-]", lambda found: f".{ord(found[0]):x}", name)
    return f"image-{plain}"


def link(name: str, text: str | None = None) -> str:
    """Return a link to an image on the page."""
    return f'<a href="#{anchor(name)}">{escape(name if text is None else text)}</a>'


def image_name(name: str, pictured: Container[str]) -> str:
    """Return a link to an image's picture or, without a picture, its name as a link target."""
    if name in pictured:
        return link(name)
    return f'<span id="{anchor(name)}">{escape(name)}</span>'


def table(header: Sequence[str], rows: Iterable[Sequence[str]], *, raw: Sequence[int] = ()) -> str:
    """Return a table, or "" without rows.

    Args:
        header: The names of the columns.
        rows: The rows.
        raw: Columns that already are HTML.
    """
    lines = [
        "".join(
            f"<td>{text if place in raw else escape(text)}</td>" for place, text in enumerate(row)
        )
        for row in rows
    ]
    if not lines:
        return ""
    head = "".join(f"<th>{escape(text)}</th>" for text in header)
    head = f"<thead><tr>{head}</tr></thead>" if any(header) else ""
    return f"<table>{head}<tbody>{''.join(f'<tr>{line}</tr>' for line in lines)}</tbody></table>"


def figures(title: str, pictures: Mapping[str, bytes]) -> str:
    """Return PNG pictures with their captions below a heading; "" without pictures."""
    if not pictures:
        return ""
    items = "\n".join(picture(caption, content) for caption, content in pictures.items())
    return (f"{heading(title)}\n" if title else "") + items


def picture(caption: str, content: bytes, *, name: str = "", kind: str = "png") -> str:
    """Return a picture with its caption.

    Args:
        caption: The caption.
        content: A PNG or JPEG file.
        name: The id of the image, as a link target.
        kind: 'png' or 'jpeg'.
    """
    place = f' id="{anchor(name)}"' if name else ""
    code = base64.b64encode(content).decode("ascii")
    return (
        f'<figure class="picture"{place}><img alt="{escape(caption)}" '
        f'src="data:image/{kind};base64,{code}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def chart(svg: str, caption: str) -> str:
    """Return a chart with its caption; "" without a chart."""
    return (
        f'<figure class="chart">{svg}<figcaption>{escape(caption)}</figcaption></figure>'
        if svg
        else ""
    )


def thumbnail(pixels: NDArray[np.uint8], side: int = THUMBNAIL_SIDE) -> bytes:
    """Shrink uint8[H, W, 3] or uint8[H, W] to at most `side` pixels; return a PNG file."""
    from PIL import Image

    image = Image.fromarray(pixels)
    image.thumbnail((side, side))
    stream = io.BytesIO()
    image.save(stream, format="PNG", optimize=True)
    return stream.getvalue()

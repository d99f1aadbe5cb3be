"""The viewer of one image as a single piece of HTML for notebooks, which needs no server.

It contains everything that the page requests: image, cells and measurements, which a few lines of
JavaScript provide in place of the network. It is read-only.
"""

from __future__ import annotations

import base64
import gzip
import html
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.display_text import printable
from bigkingxxl.errors import InputError
from bigkingxxl.images import ImageSource
from bigkingxxl.instances import Instances
from bigkingxxl.io.annotations.run_cells import NumberedCells
from bigkingxxl.provenance import own_version
from bigkingxxl.viewer import contract as wire
from bigkingxxl.viewer.server.cell_table import table_of
from bigkingxxl.viewer.server.pixels import WHOLE_LIMIT, ShownImage, levels_of
from bigkingxxl.viewer.server.workspace import key_of, start_of

BRIGHTEST = 255  # of the picture, whatever the range of the image
READ_ONLY = "cells in a notebook are read-only: correct them with `bigkingxxl view`"
# The strip, the tools, and everything that needs a server.
HIDDEN = ".strip, .rail, .saving, .top .pill, [aria-label$=image], #tab-learn, #tab-export"
ANSWERING = """
const NEVER = new Promise(() => undefined);
history.replaceState = () => undefined;
const bytesOf = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
window.fetch = async (address) => {
  const url = new URL(address, "http://notebook/");
  if (url.pathname === "/api/events" && url.searchParams.get("after") !== "-1") return NEVER;
  const found = ANSWERS[url.pathname];
  if (!found) return new Response('{"error": "this needs `bigkingxxl view`"}', { status: 404 });
  const packed = new Blob([bytesOf(found.content)]).stream();
  const body = found.is_packed ? packed.pipeThrough(new DecompressionStream("gzip")) : packed;
  return new Response(body, { headers: found.headers });
};
"""


@dataclass(frozen=True, repr=False)
class Shown:
    """What a notebook displays, with a height in pixels.

    Attributes:
        page: A complete HTML document.
        height: Its height in pixels.
    """

    page: str
    height: int

    def _repr_html_(self) -> str:
        return (
            f'<iframe srcdoc="{html.escape(self.page)}" title="Cells" width="100%" '
            f'height="{self.height}" style="border: 1px solid #8886; border-radius: 6px"></iframe>'
        )


def page_of(source: ImageSource, cells: Instances, warnings: Sequence[str] = ()) -> str:
    """Create a self-contained HTML document.

    Args:
        source: The image.
        cells: Disjoint cells.
        warnings: Sentences that are shown above the image.

    Raises:
        InputError: The image is too large, or the cells have another size.
    """
    if max(source.shape) > WHOLE_LIMIT:
        raise InputError(
            f"{source.name} has {source.shape[1]} x {source.shape[0]} pixels, but a notebook shows "
            f"at most {WHOLE_LIMIT} pixels per side: open it with `bigkingxxl view`",
            key="size",
            found=source.shape,
            expected=WHOLE_LIMIT,
        )
    if source.shape != cells.size:
        raise InputError(
            f"the cells belong to an image of {cells.size} pixels, but this one has {source.shape}",
            key="size",
            found=cells.size,
            expected=source.shape,
        )
    answers = _answers(ShownImage(source), cells, warnings)
    folder = resources.files("bigkingxxl.viewer") / "page" / "dist"
    style, script = ((folder / name).read_text("utf-8") for name in ("page.css", "page.js"))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>BigKingXXL</title>'
        f"<style>{style} {HIDDEN} {{ display: none }} .page {{ grid-template-columns: "
        '0 0 minmax(0, 1fr) 316px }</style></head><body><div id="root"></div>'
        f"<script>const ANSWERS = {_inline(json.dumps(answers))};{ANSWERING}</script>"
        f'<script type="module">{_inline(script)}</script></body></html>'
    )


def _inline(script: str) -> str:
    """Escape text so that it does not end its HTML element."""
    return script.replace("</", "<\\/").replace("<!--", "<\\!--")


def _answers(
    shown: ShownImage, cells: Instances, warnings: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Return the answers of the page's requests, by URL."""
    source = shown.source
    name = printable(source.name) or "image"
    key = key_of(name)
    start = start_of(NumberedCells.of(cells), "model")
    table = table_of(source, start.labels, start.cells, 0, measurements=True)
    height, width = source.shape
    entry = wire.ImageEntry(
        key=key, name=name, file=name, state="ready", warnings=tuple(warnings), width=width,
        height=height, cells=len(start.cells),
        confluence=sum(table.areas) / max(width * height, 1),
    )  # fmt: skip
    channels = tuple(_as_pictured(each) for each in shown.channels)
    info = wire.ImageInfo(
        entry=entry, channels=channels, pixel_size_um=source.pixel_size_um,
        levels=levels_of(source.shape), label_dtype=start.labels.dtype.name,
        next_cell=max(start.cells, default=0) + 1,
    )  # fmt: skip
    types = dict.fromkeys(cell.type for cell in start.cells.values() if cell.type)
    folder = wire.Folder(
        contract=wire.CONTRACT_VERSION, version=own_version(), kind="run", path=name,
        corrections="", read_only=READ_ONLY, type_names=tuple(types), can_apply=READ_ONLY,
        max_body=0,
    )  # fmt: skip
    of_image = f"/api/images/{key}"
    return {
        "/api/folder": _json(folder),
        "/api/images": _json(wire.Strip(images=(entry,), event=0)),
        "/api/jobs": _json(wire.JobList(jobs=())),
        "/api/events": _json(wire.EventList(newest=0, events=())),
        "/api/presence": _json(wire.PresenceAnswer(windows=0, revision=0)),
        of_image: _json(info),
        f"{of_image}/cells": _json(table),
        f"{of_image}/edits": _json(wire.EditList(revision=0, edits=())),
        f"{of_image}/labels": _raster(start.labels),
        f"{of_image}/reviewed": _raster(np.ones(source.shape, np.uint8)),
        f"{of_image}/pixels": _answer(shown.picture(), {"Content-Type": "image/png"}),
    }


def _as_pictured(channel: wire.Channel) -> wire.Channel:
    """Convert a channel to the grey values of its picture, so that no other one is requested."""
    scale = BRIGHTEST / max(channel.high - channel.low, 1e-9)
    bins = np.linspace(channel.minimum, channel.maximum, len(channel.histogram))
    grey = np.clip((bins - channel.low) * scale, 0, BRIGHTEST)
    counts, _ = np.histogram(grey, BRIGHTEST + 1, (0, BRIGHTEST), weights=channel.histogram)
    return channel.model_copy(update={
        "low": 0.0, "high": float(BRIGHTEST), "minimum": 0.0, "maximum": float(BRIGHTEST),
        "histogram": tuple(counts.astype(int).tolist()),
    })  # fmt: skip


def _json(value: wire.Wire) -> dict[str, Any]:
    return _packed(value.model_dump_json().encode(), {"Content-Type": "application/json"})


def _raster(values: NDArray[Any]) -> dict[str, Any]:
    little = values.astype(values.dtype.newbyteorder("<"), order="C", copy=False)
    height, width = values.shape
    return _packed(little.tobytes(), {
        "X-Dtype": values.dtype.name, "X-Height": str(height), "X-Width": str(width),
        "X-Revision": "0",
    })  # fmt: skip


def _packed(content: bytes, headers: dict[str, str]) -> dict[str, Any]:
    # Without a time, so that the same cells give the same page.
    return {**_answer(gzip.compress(content, 6, mtime=0), headers), "is_packed": True}


def _answer(content: bytes, headers: dict[str, str]) -> dict[str, Any]:
    return {"content": base64.b64encode(content).decode(), "headers": headers, "is_packed": False}

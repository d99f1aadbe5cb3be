"""Chunks of a Zarr array that are cut off where the decoder does not notice it.

Blosc stores what it cannot compress as it is, and copies as many bytes as its header announces,
from beyond the end of a chunk that was cut off.
Source: the header of Blosc 1, https://github.com/Blosc/c-blosc/blob/main/README_CHUNK_FORMAT.rst.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

from bigkingxxl.geometry import Window

HEADER = 16  # bytes, of which the last four are the length of the chunk


def cut_off_chunk(array: Any, places: Sequence[int | None], window: Window) -> Path | None:
    """Return a chunk in a window that is shorter than its header says, or None if there is none.

    Args:
        array: The Zarr array; only those in a folder are checked.
        places: The index on each axis except the last two; None for all.
        window: A window of the last two axes.
    """
    root = getattr(array.store, "root", None)
    if root is None or not _is_blosc(array.metadata):
        return None
    folder = Path(root) / array.path
    spans = [
        *((0, size) if place is None else (place, place + 1)
          for size, place in zip(array.shape, places, strict=False)),
        (window.row0, window.row1), (window.col0, window.col1),
    ]  # fmt: skip
    chunks = [range(start // side, -(-stop // side))
              for (start, stop), side in zip(spans, array.chunks, strict=True)]  # fmt: skip
    files = (folder / array.metadata.encode_chunk_key(each) for each in product(*chunks))
    return next((each for each in files if _is_cut_off(each)), None)


def _is_blosc(metadata: Any) -> bool:
    """Whether the files of the chunks are what Blosc wrote."""
    if metadata.zarr_format == 2:
        return getattr(metadata.compressor, "codec_id", "") == "blosc"
    return bool(metadata.codecs) and metadata.codecs[-1].to_dict().get("name") == "blosc"


def _is_cut_off(file: Path) -> bool:
    try:
        with file.open("rb") as stream:
            header = stream.read(HEADER)
            length = stream.seek(0, 2)
    except OSError:  # missing chunks hold the fill value; reading tells of others
        return False
    return length < HEADER or length < int.from_bytes(header[12:16], "little")

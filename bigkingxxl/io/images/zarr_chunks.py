"""Chunks of a Zarr array that are damaged where the decoder does not notice it.

Blosc stores what it cannot compress as it is, and copies as many bytes as its header announces,
from beyond the end of a chunk that was cut off.
Source: the header of Blosc 1, https://github.com/Blosc/c-blosc/blob/main/README_CHUNK_FORMAT.rst.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from stat import S_ISREG
from typing import Any

from bigkingxxl.errors import ImageError
from bigkingxxl.geometry import Window

HEADER = 16  # bytes, of which the last four are the length of the chunk


def check_chunks(path: Path, array: Any, places: Sequence[int | None], window: Window) -> None:
    """Refuse a chunk that would be decoded to wrong values, or be waited for without an end.

    A chunk that is shorter than its header says would be decoded to any values, and a folder in
    place of a chunk would count as a missing chunk.

    Args:
        path: The image, for messages.
        array: The Zarr array; only those in a folder are checked.
        places: The index on each axis except the last two; None for all.
        window: A window of the last two axes.

    Raises:
        ImageError: A chunk in the window is damaged.
    """
    root = getattr(array.store, "root", None)
    if root is None:
        return
    is_blosc = _is_blosc(array.metadata)
    for file in _chunk_files(Path(root) / array.path, array, places, window):
        damage = _damage(file, is_blosc=is_blosc)
        if damage:
            raise ImageError(f"{path} is damaged: its chunk {file} {damage}", file=file)


def _damage(file: Path, *, is_blosc: bool) -> str:
    """Return what is wrong with a chunk, or ""; a missing one holds the fill value."""
    try:
        mode = file.stat().st_mode
        if not S_ISREG(mode):
            return "is not a file"
        return "is truncated" if is_blosc and _is_cut_off(file) else ""
    except FileNotFoundError:
        return ""
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def _chunk_files(
    folder: Path, array: Any, places: Sequence[int | None], window: Window
) -> Iterator[Path]:
    """Yield the files of the chunks in a window; a file of a sharded array holds many chunks."""
    spans = [
        *((0, size) if place is None else (place, place + 1)
          for size, place in zip(array.shape, places, strict=False)),
        (window.row0, window.row1), (window.col0, window.col1),
    ]  # fmt: skip
    sides = getattr(array, "shards", None) or array.chunks
    chunks = [range(start // side, -(-stop // side))
              for (start, stop), side in zip(spans, sides, strict=True)]  # fmt: skip
    return (folder / array.metadata.encode_chunk_key(each) for each in product(*chunks))


def _is_blosc(metadata: Any) -> bool:
    """Whether the files of the chunks are what Blosc wrote."""
    if metadata.zarr_format == 2:
        return getattr(metadata.compressor, "codec_id", "") == "blosc"
    return bool(metadata.codecs) and metadata.codecs[-1].to_dict().get("name") == "blosc"


def _is_cut_off(file: Path) -> bool:
    with file.open("rb") as stream:
        header = stream.read(HEADER)
        length = stream.seek(0, 2)
    return length < HEADER or length < int.from_bytes(header[12:16], "little")

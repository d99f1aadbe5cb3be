"""TIFFs of one page written tag by tag, for what tifffile does not write or writes wrongly."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

Value = int | tuple[int, ...]
LONG_TAGS = (256, 257, 273, 278, 279, 322, 323, 324, 325)


def tiff_bytes(
    tags: Mapping[int, Value], segments: list[bytes], order: str = "<", *, tiled: bool = False
) -> bytes:
    """A page of these tags (numbers of 16 or 32 bits) over these strips or tiles."""
    body, starts = b"", []
    for segment in segments:
        starts.append(8 + len(body))
        body += segment + b"\0" * (len(segment) % 2)
    every: dict[int, Value] = dict(tags)
    every[324 if tiled else 273] = tuple(starts)
    every[325 if tiled else 279] = tuple(len(segment) for segment in segments)
    directory, extra = b"", b""
    behind = 8 + len(body) + 2 + 12 * len(every) + 4
    for tag in sorted(every):
        value = every[tag]
        values = value if isinstance(value, tuple) else (value,)
        kind = "I" if tag in LONG_TAGS else "H"
        data = struct.pack(f"{order}{len(values)}{kind}", *values)
        head = struct.pack(order + "HHI", tag, 4 if kind == "I" else 3, len(values))
        if len(data) > 4:
            directory += head + struct.pack(order + "I", behind + len(extra))
            extra += data
        else:
            directory += head + data.ljust(4, b"\0")
    start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8 + len(body))
    count = struct.pack(order + "H", len(every))
    return start + body + count + directory + struct.pack(order + "I", 0) + extra


def write_tiff(
    path: Path,
    pixels: np.ndarray,
    encode: Callable[[np.ndarray], bytes],
    *,
    bits: int,
    compression: int = 1,
    photometric: int = 1,
    planar: bool = False,
    order: str = "<",
    tile: tuple[int, int] | None = None,
    rows: int | None = None,
    tags: Mapping[int, Value] | None = None,
) -> Path:
    """Write [H, W], [H, W, S] or, planar, [S, H, W]; `encode` takes a strip or tile [h, w, S]."""
    planes = list(pixels) if planar else [pixels]
    samples = len(pixels) if planar else pixels.shape[2] if pixels.ndim == 3 else 1
    height, width = planes[0].shape[:2]
    segments = []
    for plane in planes:
        whole = plane if plane.ndim == 3 else plane[..., None]
        if tile is None:
            tall = rows or height
            segments += [encode(whole[row : row + tall]) for row in range(0, height, tall)]
        else:
            for row in range(0, height, tile[0]):
                for col in range(0, width, tile[1]):
                    part = whole[row : row + tile[0], col : col + tile[1]]
                    pad = [(0, tile[0] - part.shape[0]), (0, tile[1] - part.shape[1]), (0, 0)]
                    segments.append(encode(np.pad(part, pad)))
    kind = {"u": 1, "i": 2, "f": 3}[pixels.dtype.kind]
    every: dict[int, Any] = {
        256: width, 257: height, 258: (bits,) * samples, 259: compression, 262: photometric,
        277: samples, 284: 2 if planar else 1, 339: (kind,) * samples,
    }  # fmt: skip
    if photometric == 1 and samples > 1:
        every[338] = (0,) * (samples - 1)
    every |= {322: tile[1], 323: tile[0]} if tile is not None else {278: rows or height}
    path.write_bytes(tiff_bytes({**every, **(tags or {})}, segments, order, tiled=tile is not None))
    return path


def packed_12(part: np.ndarray) -> bytes:
    """12 bits per sample; every row is padded to whole bytes."""
    rows = part.reshape(len(part), -1).astype(np.uint16)
    bits = (rows[..., None] >> np.arange(11, -1, -1)) & 1
    return np.packbits(bits.reshape(len(rows), -1).astype(np.uint8), axis=1).tobytes()

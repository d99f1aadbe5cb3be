"""Where the results of an image lie: its name as a path that stays inside the run's folder."""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from pathlib import PurePosixPath

LONGEST_NAME = 200  # bytes; the endings of all formats and 255 bytes in all fit
# Windows refuses these, with any ending.
RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?")
# Control characters, what Windows refuses, and an escape of our own.
UNSAFE = re.compile(r"[\x00-\x1f\x7f<>:\"\\|?*]|%(?=[0-9A-Fa-f]{2})")

# The dot before an ending that files of results and records have.
DOT = re.compile(r"(?i)\.(?=(tif|png|csv|zip|geojson|npy|npz|json|zarr|blocks)$)")


@lru_cache(maxsize=1024)  # each result and record of an image asks for it
def place_of(image_id: str) -> PurePosixPath:
    """The name of an image as a relative path; two names never share one.

    A '/' parts folders. What would leave the folder (`..`, a leading '/') or what no file may be
    called is written as `%2E%2E`; a part longer than 200 bytes is cut and ends in a hash. A folder
    called `a.tif` is written `a%2Etif`: the label image of an image `a` has that name.
    """
    *folders, name = image_id.split("/")
    return PurePosixPath(*(DOT.sub("%2E", _safe(part)) for part in folders), _safe(name))


def _safe(part: str) -> str:
    name = UNSAFE.sub(lambda match: _escaped(match[0]), part)
    if not name:
        return "%2F"
    # Folders of dots lead upward; Windows drops dots and spaces at the end of a name.
    if set(name) == {"."}:
        name = _escaped(name)
    elif name[-1] in ". ":
        name = name[:-1] + _escaped(name[-1])
    if RESERVED.fullmatch(name):
        name = _escaped(name[0]) + name[1:]
    raw = name.encode("utf-8", "surrogateescape")
    if len(raw) <= LONGEST_NAME:
        return name
    mark = hashlib.sha256(raw).hexdigest()[:10]
    return f"{raw[: LONGEST_NAME - 11].decode('utf-8', 'ignore')}~{mark}"


def _escaped(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode("utf-8", "surrogateescape"))

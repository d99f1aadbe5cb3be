"""The paths of an image's results: its name as a path that stays inside the folder of the run."""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from pathlib import PurePosixPath

LONGEST_NAME = 200  # bytes; leaves room for the endings of all formats within 255 bytes
# Windows reserves these names, with any ending.
RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?")
# Control characters, characters that Windows refuses, and our escape character.
UNSAFE = re.compile(r"[\x00-\x1f\x7f<>:\"\\|?*]|%(?=[0-9A-Fa-f]{2})")

# The dot before the endings of result and record files.
DOT = re.compile(r"(?i)\.(?=(tif|png|csv|zip|geojson|npy|npz|json|zarr|blocks)$)")


@lru_cache(maxsize=1024)  # each result and record of an image needs it
def place_of(image_id: str) -> PurePosixPath:
    """Convert the name of an image to a unique relative path.

    A '/' separates folders. Parts that would leave the folder (`..`, a leading '/') or are not
    valid file names are escaped, such as `%2E%2E`; a part longer than 200 bytes is truncated and
    ends in a hash. A folder `a.tif` becomes `a%2Etif`, because the label image of an image `a` has
    that name.
    """
    *folders, name = image_id.split("/")
    return PurePosixPath(*(DOT.sub("%2E", _safe(part)) for part in folders), _safe(name))


def _safe(part: str) -> str:
    name = UNSAFE.sub(lambda match: _escaped(match[0]), part)
    if not name:
        return "%2F"
    # Folders of dots lead upwards; Windows drops dots and spaces at the end of a name.
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

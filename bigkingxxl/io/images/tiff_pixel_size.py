"""Micrometres a pixel as TIFF files store them: OME, ImageJ and plain resolution tags."""

from __future__ import annotations

import re
from typing import Any

PixelSize = tuple[float, float]
MICROMETRES = {
    "nm": 1e-3, "nanometer": 1e-3, "nanometers": 1e-3, "µm": 1.0, "μm": 1.0, "um": 1.0,
    "micron": 1.0, "microns": 1.0, "micrometer": 1.0, "micrometers": 1.0, "micrometre": 1.0,
    "mm": 1e3, "millimeter": 1e3, "cm": 1e4, "centimeter": 1e4, "m": 1e6, "å": 1e-4,
    "inch": 25_400.0, "inches": 25_400.0, "in": 25_400.0,
}  # fmt: skip
TAG_UNITS = {2: 25_400.0, 3: 1e4}  # TIFF ResolutionUnit: inch, centimetre
# Above this a plain resolution is a printer's (72 to 600 dpi), not a microscope's.
LARGEST_BELIEVED = 25.0


def pixel_size_um(tiff: Any) -> PixelSize | None:
    """(row, column) micrometres a pixel of an open `tifffile.TiffFile`, None where unknown."""
    if tiff.is_ome:
        return _ome(tiff.ome_metadata or "")
    tags = tiff.pages[0].tags
    per_unit = _ratio(tags, "YResolution"), _ratio(tags, "XResolution")
    if per_unit[0] is None or per_unit[1] is None:
        return None
    metadata = tiff.imagej_metadata if tiff.is_imagej else None
    if metadata and "unit" in metadata:
        unit = MICROMETRES.get(_unescaped(str(metadata["unit"])))
        return None if unit is None else (unit / per_unit[0], unit / per_unit[1])
    unit = TAG_UNITS.get(int(tags.valueof("ResolutionUnit", 1)))
    if unit is None or max(unit / per_unit[0], unit / per_unit[1]) > LARGEST_BELIEVED:
        return None
    return unit / per_unit[0], unit / per_unit[1]


def _ratio(tags: Any, name: str) -> float | None:
    """Pixels a unit, None where the tag is missing or not positive."""
    value = tags.valueof(name)
    if not isinstance(value, tuple) or len(value) != 2 or min(value) <= 0:
        return None
    return float(value[0]) / float(value[1])


def _unescaped(unit: str) -> str:
    """ImageJ writes the Greek letter as a six-character escape."""
    return unit.replace("\\u00B5", "µ").replace("\\u00b5", "µ").strip().lower()


def _ome(xml: str) -> PixelSize | None:
    found = re.search(r"<(?:\w+:)?Pixels\b[^>]*>", xml)
    sides = [_ome_side(found.group(), axis) for axis in "YX"] if found else [None]
    return None if None in sides else (sides[0], sides[1])  # type: ignore[return-value]


def _ome_side(pixels: str, axis: str) -> float | None:
    size = re.search(rf"\bPhysicalSize{axis}\s*=\s*[\"']([0-9.eE+-]+)[\"']", pixels)
    unit = re.search(rf"\bPhysicalSize{axis}Unit\s*=\s*[\"']([^\"']+)[\"']", pixels)
    factor = MICROMETRES.get(_unescaped(unit.group(1)) if unit else "um")
    try:
        side = float(size.group(1)) if size else 0.0
    except ValueError:
        return None
    return side * factor if factor is not None and side > 0 else None

"""Read the pixel size of each series of a TIFF in micrometres."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bigkingxxl.io.images.tiff_checks import ome_elements

PixelSize = tuple[float, float]
# OME's units of length (Mm and mm differ by case); 'pixel' and 'reference frame' are not units.
OME_UNITS = {
    "Ym": 1e30, "Zm": 1e27, "Em": 1e24, "Pm": 1e21, "Tm": 1e18, "Gm": 1e15, "Mm": 1e12, "km": 1e9,
    "hm": 1e8, "dam": 1e7, "m": 1e6, "dm": 1e5, "cm": 1e4, "mm": 1e3, "µm": 1.0, "μm": 1.0,
    "um": 1.0, "nm": 1e-3, "pm": 1e-6, "fm": 1e-9, "am": 1e-12, "zm": 1e-15, "ym": 1e-18,
    "Å": 1e-4, "\N{ANGSTROM SIGN}": 1e-4, "thou": 25.4, "li": 25_400 / 12, "in": 25_400.0,
    "ft": 304_800.0, "yd": 914_400.0, "mi": 1.609344e9, "pt": 25_400 / 72, "ua": 1.495978707e17,
    "ly": 9.4607304725808e21, "pc": 3.0856775814913673e22,
}  # fmt: skip
PREFIXES = {
    "yocto": 1e-18, "zepto": 1e-15, "atto": 1e-12, "femto": 1e-9, "pico": 1e-6, "nano": 1e-3,
    "micro": 1.0, "milli": 1e3, "centi": 1e4, "deci": 1e5, "": 1e6, "deca": 1e7, "hecto": 1e8,
    "kilo": 1e9, "mega": 1e12, "giga": 1e15, "tera": 1e18, "peta": 1e21, "exa": 1e24,
    "zetta": 1e27, "yotta": 1e30,
}  # fmt: skip
WORDS = {
    **{prefix + metre: factor for prefix, factor in PREFIXES.items()
       for metre in ("meter", "meters", "metre", "metres")},
    "micron": 1.0, "microns": 1.0, "angstrom": 1e-4, "foot": 304_800.0, "yard": 914_400.0,
    "mile": 1.609344e9, "parsec": 3.0856775814913673e22, "nm": 1e-3, "µm": 1.0, "μm": 1.0,
    "um": 1.0, "mm": 1e3, "cm": 1e4, "m": 1e6, "å": 1e-4,
}  # fmt: skip
TAG_UNITS = {2: 25_400.0, 3: 1e4}  # TIFF ResolutionUnit: inch, centimetre
# A plain resolution with larger pixels is that of a printer or scanner. Up to 10 micrometres, a
# resolution per centimetre is trusted, unless it is a round number of dots per inch.
BELIEVED, BELIEVED_IN_CENTIMETRES, ROUND_DPI = 2.5, 10.0, 100


def pixel_sizes_um(tiff: Any) -> list[PixelSize | None]:
    """Return (row, column) micrometres per pixel of each series of an open `tifffile.TiffFile`.

    It is None if unknown. Resolutions in inches or centimetres without metadata of ImageJ or OME
    usually are those of printers, and are used only if no printer is that fine.
    """
    series = tiff.series
    if tiff.is_ome:
        return _ome_sizes(tiff.ome_metadata or "", series)
    size = _of_microscope(tiff)
    if size is None:
        size = _imagej_size(tiff) if tiff.is_imagej else _plain_size(tiff.pages[0].tags)
    return [size] * len(series)


def length_um(unit: str) -> float | None:
    """Return a unit of length in micrometres, or None for other units."""
    plain = unit.replace("\\u00B5", "µ").replace("\\u00b5", "µ").strip()
    return OME_UNITS.get(plain, WORDS.get(plain.lower()))


def pixel_size(row: float | None, col: float | None) -> PixelSize | None:
    """Return a size if it is positive and finite; a missing side equals the other."""
    good = [side if side is not None and 0 < side < 1e9 else None for side in (row, col)]
    row, col = good[0] or good[1], good[1] or good[0]
    return None if row is None or col is None else (row, col)


def _ome_sizes(xml: str, series: Any) -> list[PixelSize | None]:
    images: list[tuple[str | None, PixelSize | None]] = []
    for element in ome_elements(xml):
        if element.tag.rpartition("}")[2] != "Image":
            continue
        pixels = next((part for part in element if part.tag.endswith("Pixels")), None)
        if pixels is not None:
            sides = [_ome_side(pixels.attrib, axis) for axis in "YX"]
            images.append((element.get("Name"), pixel_size(*sides)))
    if len(images) == len(series):
        return [size for _, size in images]
    sizes: list[PixelSize | None] = []
    for each in series:  # tifffile leaves out images without planes
        named = [size for name, size in images if name == each.name]
        sizes.append(named[0] if len(named) == 1 else None)
    return sizes


def _ome_side(pixels: Mapping[str, str], axis: str) -> float | None:
    factor = length_um(pixels.get(f"PhysicalSize{axis}Unit", "µm"))
    side = _number(pixels.get(f"PhysicalSize{axis}"))
    return None if factor is None or side is None else side * factor


def _imagej_size(tiff: Any) -> PixelSize | None:
    metadata = tiff.imagej_metadata or {}
    tags = tiff.pages[0].tags
    unit = str(metadata.get("unit", ""))
    if not unit:
        return _plain_size(tags)
    across = length_um(unit)
    down = length_um(str(metadata.get("yunit") or unit))
    rows, cols = _per_unit(tags, "YResolution"), _per_unit(tags, "XResolution")
    return pixel_size(
        None if rows is None or down is None else down / rows,
        None if cols is None or across is None else across / cols,
    )


def _plain_size(tags: Any) -> PixelSize | None:
    unit = int(tags.valueof("ResolutionUnit", 1))
    rows, cols = _per_unit(tags, "YResolution"), _per_unit(tags, "XResolution")
    if unit not in TAG_UNITS or rows is None or cols is None:
        return None
    size = TAG_UNITS[unit] / rows, TAG_UNITS[unit] / cols
    if max(size) <= BELIEVED:
        return size
    dots = 25_400 / size[1]
    is_round = abs(dots / ROUND_DPI - round(dots / ROUND_DPI)) < 0.005
    believed = unit == 3 and max(size) <= BELIEVED_IN_CENTIMETRES and not is_round
    return size if believed else None


def _per_unit(tags: Any, name: str) -> float | None:
    """Return pixels per unit; None if the tag is missing or not positive."""
    value = tags.valueof(name)
    if not isinstance(value, tuple) or len(value) != 2 or min(value) <= 0:
        return None
    return float(value[0]) / float(value[1])


def _of_microscope(tiff: Any) -> PixelSize | None:
    """Return the size from the metadata of LSM, STK, MetaMorph, Aperio or Micro-Manager."""
    try:
        if tiff.is_lsm:
            found = tiff.lsm_metadata or {}
            row, col = (_number(found.get(f"VoxelSize{axis}")) for axis in "YX")
            return pixel_size(row and row * 1e6, col and col * 1e6)  # metres
        if tiff.is_stk:
            found = tiff.stk_metadata or {}
            factor = length_um(str(found.get("CalibrationUnits", "")))
            sides = [_number(found.get(f"{axis}Calibration")) for axis in "YX"]
            return pixel_size(*(side and factor and side * factor for side in sides))
        if tiff.is_metaseries:
            found = (tiff.metaseries_metadata or {}).get("PlaneInfo", {})
            factor = length_um(str(found.get("spatial-calibration-units", "um")))
            sides = [_number(found.get(f"spatial-calibration-{axis}")) for axis in "yx"]
            return pixel_size(*(side and factor and side * factor for side in sides))
        if tiff.is_svs:
            side = _number(_svs_value(tiff.pages[0].description, "MPP"))
            return pixel_size(side, side)
        if tiff.is_micromanager:
            found = tiff.micromanager_metadata or {}
            side = _number((found.get("Summary") or {}).get("PixelSize_um"))
            return pixel_size(side, side)
    except Exception:  # damaged metadata must not prevent reading the image
        return None
    return None


def _svs_value(description: str, name: str) -> str | None:
    for part in description.split("|"):
        key, _, value = part.partition("=")
        if key.strip() == name:
            return value
    return None


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None

"""DICOM files, read by pydicom (MIT); compressed ones if Pillow can decode them."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.errors import ImageError
from bigkingxxl.io.images.file_image import PixelSize, Samples, check_size
from bigkingxxl.io.images.read_errors import damage_reported
from bigkingxxl.io.images.reader import ImageReader
from bigkingxxl.io.images.series import ImageSeries
from bigkingxxl.io.images.tiff_pixel_size import pixel_size
from bigkingxxl.io.images.tile_cache import DecodedTileCache, WholePlane

MILLIMETRE_UM = 1000.0


def open_dicom(path: Path, pixel_limit: int) -> list[ImageSeries]:
    """Return the frames of a DICOM file; MONOCHROME1 is inverted so that white is high.

    Raises:
        ImageError: The file is damaged, has no pixels, is above the limit, or is neither grey nor
            RGB.
    """
    import pydicom

    header = pydicom.dcmread(path, stop_before_pixels=True)
    if "Rows" not in header or "Columns" not in header:
        raise ImageError(f"{path} is DICOM without an image", file=path)
    shape = int(header.Rows), int(header.Columns)
    check_size(path, shape, pixel_limit)
    colours = str(header.get("PhotometricInterpretation", "MONOCHROME2"))
    samples = int(header.get("SamplesPerPixel", 1))
    if (samples == 1) != colours.startswith("MONOCHROME") or colours.startswith("PALETTE"):
        raise ImageError(
            f"{path} stores its colours as {colours}, which is not read: save it as gray or RGB",
            file=path,
            key="colours",
            found=colours,
            expected=("gray", "RGB"),
        )
    frames = int(header.get("NumberOfFrames", 1) or 1)
    needed = frames * shape[0] * shape[1] * samples * int(header.get("BitsAllocated", 8)) // 8
    if not header.file_meta.TransferSyntaxUID.is_compressed and needed > path.stat().st_size:
        raise ImageError(
            f"{path} is truncated: it needs {needed:,} bytes",
            file=path,
            key="bytes",
            expected=needed,
        )
    cache, is_dark = DecodedTileCache(), colours == "MONOCHROME1"

    def plane(frame: int, _depth: int) -> Samples:
        load = partial(_frame, path, frame, is_dark)
        return WholePlane((samples, *shape), frame, load, cache)

    return [ImageSeries(shape, plane, channels=samples, frames=frames, is_colour=samples == 3,
                        pixel_size_um=_pixel_size(header))]  # fmt: skip


def _frame(path: Path, frame: int, is_dark: bool) -> NDArray[Any]:
    """Decode one frame, [C, H, W]."""
    from pydicom.pixels import pixel_array

    with damage_reported(path, "cannot be decoded"):
        pixels = np.asarray(pixel_array(path, index=frame))
    pixels = pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)
    # Inverted about the middle of the value range, so that the statistics of contrast are
    # unchanged.
    return pixels.max() - pixels + pixels.min() if is_dark else pixels


def _pixel_size(header: Any) -> PixelSize | None:
    """Return the pixel size of the image, not that of the detector (ImagerPixelSpacing)."""
    spacing = header.get("PixelSpacing")
    if spacing is None:
        shared = header.get("SharedFunctionalGroupsSequence")
        measures = shared[0].get("PixelMeasuresSequence") if shared else None
        spacing = measures[0].get("PixelSpacing") if measures else None
    if spacing is None or len(spacing) != 2:
        return None
    return pixel_size(float(spacing[0]) * MILLIMETRE_UM, float(spacing[1]) * MILLIMETRE_UM)


READER = ImageReader(
    "DICOM", (".dcm", ".dicom"), open_dicom, begins=lambda start: start[128:132] == b"DICM",
    packages=("pydicom",), extra="dicom",
)  # fmt: skip

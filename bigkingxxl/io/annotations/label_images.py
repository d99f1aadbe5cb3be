"""Label images, which Fiji, QuPath and Cellpose read: 0 is background, each cell has a number.

They are never written with 8 bits, because more than 255 cells are common and would overflow. A
binary mask (0 and 255) is read as its connected parts, with a notice.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.errors import FormatError, InputError, OutputError
from bigkingxxl.files import whole_file
from bigkingxxl.instances import Instances, PixelSize
from bigkingxxl.io.annotations.binary_masks import connected_cells, is_binary_mask
from bigkingxxl.io.annotations.grey_pictures import is_photograph
from bigkingxxl.io.annotations.label_tiles import (
    LARGEST_UINT16,
    label_type,
    resolution,
    short_writes_reported,
)
from bigkingxxl.io.images.folders import (
    all_images_in,
    bases_of,
    stem_of,
    with_and_without_ome,
)
from bigkingxxl.io.images.image_files import DEFAULT_PIXEL_LIMIT, read_header, read_values
from bigkingxxl.io.images.registry import first_bytes

log = logging.getLogger(__name__)

LABEL_SUFFIXES = (".tif", ".tiff", ".png")
LARGEST_LABEL = 2**31 - 1
# Marks files of a single cell, which may have several parts: they are not binary masks.
SINGLE, SINGLE_WITHIN = "labels=1", 1024  # bytes from the start
IMAGE_DESCRIPTION, RESOLUTION_UNIT, NO_UNIT = 270, 296, 1  # tags of TIFF 6.0


def read_label_image(
    path: Path,
    *,
    pixel_limit: int = DEFAULT_PIXEL_LIMIT,
    size: tuple[int, int] | None = None,
    on_binary: Callable[[Path, int], None] | None = None,
) -> NDArray[np.int32]:
    """Read a label image, int32[H, W], from TIFF or PNG; the indices of a palette are labels.

    A binary mask is replaced by the labels of its connected parts. If the values are those of a
    picture, a warning is logged.

    Args:
        path: The file.
        pixel_limit: Larger images are refused.
        size: The expected (H, W); a file of another size is refused before it is decoded.
        on_binary: Called with the file and the number of parts of a binary mask; by default a
            warning is logged.

    Raises:
        ImageError: It cannot be read; see `image_files.open_image`.
        FormatError: Its channels differ, its values are not non-negative integers, or its size is
            wrong.
    """
    path = Path(path)
    if size is not None:
        check_same_size(path, size, read_header(path, pixel_limit=pixel_limit).shape)
    values = one_channel(path, read_values(path, pixel_limit=pixel_limit))
    if values.dtype.kind == "f" and not (np.isfinite(values) & (values == np.rint(values))).all():
        raise FormatError(f"{path} contains values that are not whole numbers, expected labels",
                          file=path, found=values.dtype.name, expected="whole numbers")  # fmt: skip
    low, high = values.min().item(), values.max().item()
    if low < 0 or high > LARGEST_LABEL:
        wrong = low if low < 0 else high
        raise FormatError(
            f"{path} contains the label {wrong}, expected 0 to {LARGEST_LABEL}",
            file=path, key="label", found=wrong, expected=(0, LARGEST_LABEL),
        )  # fmt: skip
    if is_binary_mask(values) and not _is_marked_single(path):
        labels = connected_cells(values)
        (on_binary or _warn_of_binary)(path, int(labels.max()))
        return labels
    if is_photograph(values):
        log.warning(
            "%s looks like a picture rather than a label image: its grey values are used as the "
            "numbers of cells; if this is wrong, name the folder of the label images", path,
        )  # fmt: skip
    return values.astype(np.int32)


def _is_marked_single(path: Path) -> bool:
    """Return whether `write_label_image` wrote the file for a single cell."""
    return path.is_file() and SINGLE.encode() in first_bytes(path, SINGLE_WITHIN)


def check_same_size(path: Path, image: tuple[int, int], annotation: tuple[int, int]) -> None:
    """Check that an annotation has the size of its image.

    Args:
        path: The file that the message names.
        image: (H, W) of the image.
        annotation: (H, W) of the annotation.

    Raises:
        FormatError: The sizes differ.
    """
    if image != annotation:
        raise FormatError(
            f"{path}: the image has {image[1]} x {image[0]} pixels, but its annotation is for "
            f"{annotation[1]} x {annotation[0]} (width x height)",
            file=path,
            key="size",
            found=tuple(annotation),
            expected=tuple(image),
        )


def _warn_of_binary(path: Path, parts: int) -> None:
    log.warning("%s", binary_sentence(path, parts))


def binary_sentence(path: Path, parts: int) -> str:
    """Return a notice about a mask without numbers."""
    return (
        f"{path} is a binary mask without a number for each cell: its {parts} connected parts are "
        "taken as cells, and cells that touch each other as one"
    )


def one_channel(path: Path, values: NDArray[Any]) -> NDArray[Any]:
    """Reduce the values to [H, W]; a grey picture stored in colour becomes grey.

    Raises:
        FormatError: The channels differ.
    """
    if values.ndim == 2:
        return values
    # A fourth channel, or a second one beside grey, is the opacity.
    colours = values[..., :3]
    if values.shape[-1] == 2 and (values[..., 1] == values[0, 0, 1]).all():
        colours = values[..., :1]
    if values.shape[-1] in (2, 3, 4) and (colours == colours[..., :1]).all():
        return colours[..., 0]
    raise FormatError(
        f"{path} has {values.shape[-1]} channels, expected labels in one channel (0 for the "
        "background and a number for each cell)",
        file=path, key="channels", found=values.shape[-1], expected=1,
    )  # fmt: skip


def write_label_image(path: Path, instances: Instances) -> None:
    """Write a TIFF or PNG in which cell i has the label i + 1; later cells cover earlier ones.

    See `write_labels`.
    """
    check_writable(path, len(instances))
    labels = instances.label_map().astype(label_type(len(instances)))
    write_labels(path, labels, instances.pixel_size_um)


def write_labels(path: Path, labels: NDArray[Any], pixel_size_um: PixelSize | None = None) -> None:
    """Write the labels of cells as TIFF or PNG.

    The dtype is uint16, or uint32 (TIFF only) if a label exceeds 65,535. A TIFF stores the pixel
    size for ImageJ, if it is known. A file of a single cell is marked, because the cell may have
    several parts and must not be read as a binary mask.

    Args:
        path: The file.
        labels: uint16 or uint32 [H, W], 0 is background.
        pixel_size_um: Micrometres per pixel (row, column), if known.

    Raises:
        OutputError: The ending is neither .tif, .tiff nor .png, a PNG would need more than 16 bits,
            or the file cannot be written.
    """
    path = Path(path)
    is_large = labels.dtype.itemsize > 2
    check_writable(path, LARGEST_UINT16 + 1 if is_large else 0)
    with whole_file(path) as temporary:
        if is_large:
            _write_32_bits(temporary, labels, pixel_size_um)
        else:
            content = BytesIO()
            notes = [SINGLE] if _shows_one_cell(labels) else []
            file_format = "PNG" if path.suffix.lower() == ".png" else "TIFF"
            _save(content, labels, file_format, pixel_size_um, notes)
            temporary.write_bytes(content.getvalue())


def _shows_one_cell(labels: NDArray[Any]) -> bool:
    """Return whether the label map contains a single label."""
    high = labels.max(initial=0)
    return bool(high > 0 and ((labels == 0) | (labels == high)).all())


def check_writable(path: Path, highest: int) -> None:
    """Check that the format of an ending can store labels up to the highest."""
    ending = Path(path).suffix.lower()
    if ending not in LABEL_SUFFIXES:
        raise OutputError(f"{path} is not written: labels are kept as .tif, .tiff or .png",
                          file=path, found=ending, expected=(".tif", ".tiff", ".png"))  # fmt: skip
    if ending == ".png" and highest > LARGEST_UINT16:
        raise OutputError(
            f"{path} is not written: a PNG can store up to {LARGEST_UINT16:,} cells, these are "
            f"{highest:,}; write a .tif instead",
            file=path, key="cells", found=highest, expected=LARGEST_UINT16,
        )  # fmt: skip


def _save(
    stream: BytesIO,
    labels: NDArray[Any],
    file_format: str,
    pixel_size: PixelSize | None,
    notes: Sequence[str],
) -> None:
    """Write a PNG, or a TIFF with its pixel size for ImageJ."""
    # Importing Pillow takes a fraction of the time of tifffile.
    from PIL import Image, PngImagePlugin

    options: dict[str, Any] = {}
    if file_format == "PNG" and notes:
        options["pnginfo"] = PngImagePlugin.PngInfo()
        options["pnginfo"].add_text("Description", "\n".join(notes))
    if file_format == "TIFF":
        lines = ["ImageJ=1.54f", "images=1", "mode=grayscale", *notes]
        if pixel_size is not None:
            row, col = pixel_size
            lines.append("unit=um")
            options |= {"x_resolution": 1 / col, "y_resolution": 1 / row}
        tags = {IMAGE_DESCRIPTION: "\n".join(lines) + "\n", RESOLUTION_UNIT: NO_UNIT}
        options |= {"tiffinfo": tags}
    Image.fromarray(labels).save(stream, format=file_format, **options)


def _write_32_bits(path: Path, labels: NDArray[Any], pixel_size: PixelSize | None) -> None:
    import tifffile

    # ImageJ's own format has no 32-bit integers; plain tags give the size in centimetres.
    with short_writes_reported():
        tifffile.imwrite(path, labels, photometric="minisblack", metadata=None, software=False,
                         **resolution(pixel_size))  # fmt: skip


def read_label_folder(folder: Path, images: Collection[str] = ()) -> dict[str, Path]:
    """Find the label images of a folder by the name of their image, sorted.

    If some names end in `_masks`, `_cp_masks`, `_labels` or `_label`, only those are label images,
    and the name is what precedes the ending; otherwise every TIFF and PNG is one.

    Args:
        folder: The folder.
        images: The names of images; a label image with exactly such a name belongs to it, whatever
            its ending.

    Raises:
        InputError: The folder does not exist, contains no label images, or two for one name.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}", file=folder)
    paths = [path for path in all_images_in(folder) if path.suffix.lower() in LABEL_SUFFIXES]
    exact = {stem_of(path) for path in paths} & set(images)
    marked = [path for path in paths if image_name(path) != stem_of(path)]
    found: dict[str, Path] = {}
    for path in paths if exact or not marked else marked:
        name = stem_of(path) if stem_of(path) in exact else image_name(path)
        if name in found:
            raise InputError(f"{found[name]} and {path} are both label images of {name}",
                             file=path, key=name, found=(found[name], path))  # fmt: skip
        found[name] = path
    if not found:
        raise InputError(f"{folder} contains no label images (looked for .tif, .tiff and .png)",
                         file=folder, found=0, expected=(".tif", ".tiff", ".png"))  # fmt: skip
    return found


def image_name(label_path: Path) -> str:
    """Return the name of the image to which a label image belongs."""
    stem = stem_of(label_path)
    base = next(bases_of(stem), stem)
    return list(with_and_without_ome(base))[-1]


def label_instances(path: Path) -> Instances:
    """Read the cells of a label image in the order of their labels, all with the type 'cell'.

    Raises:
        ImageError: See `read_label_image`.
        FormatError: See `read_label_image`.
    """
    return Instances.from_label_map(read_label_image(path))

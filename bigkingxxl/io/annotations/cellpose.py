"""`_seg.npy`, the file in which Cellpose's graphical interface stores the masks of an image.

It is a pickled dictionary, and loading a pickle in the usual way may run any code. It is read by
`plain_pickle`, which supports only arrays and plain values.

Source: Cellpose's documentation, "Outputs" (`_seg.npy`).
"""

from __future__ import annotations

import io
import logging
import pickle
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.errors import FormatError, InputError
from bigkingxxl.files import whole_file
from bigkingxxl.geometry import disc_diameter
from bigkingxxl.instances import Instances
from bigkingxxl.io.annotations.binary_masks import connected_cells, is_white_mask
from bigkingxxl.io.annotations.label_images import binary_sentence
from bigkingxxl.io.annotations.label_tiles import LARGEST_UINT16
from bigkingxxl.io.annotations.safe_pickle import PickleError, read_plain

log = logging.getLogger(__name__)
GRAY = [0, 0]  # the channel to segment and that of nuclei: 0 is grey, or none
USUAL_DIAMETER = 30.0  # Cellpose's default if it cannot measure one
LARGEST_LABEL = 2**31 - 1


def write_seg(path: Path, instances: Instances, image_path: Path | None = None) -> None:
    """Write a file that Cellpose's interface displays and can change, with plain types only.

    Cellpose finds the file when it opens the image, if the file lies beside it as
    `<image's stem>_seg.npy`; and it finds the image when it opens the file, by its stored name or
    beside it. Later cells cover earlier ones. Cell types and scores are not stored.

    Args:
        path: The file.
        instances: The cells.
        image_path: The image in which the cells were found.

    Raises:
        OutputError: The file cannot be written.
    """
    labels = instances.label_map()
    count = int(labels.max(initial=0))
    dtype = np.uint16 if count < LARGEST_UINT16 else np.uint32
    areas = instances.areas()[instances.areas() > 0]
    diameter = float(np.median(disc_diameter(areas))) if len(areas) else USUAL_DIAMETER
    content = {
        "outlines": np.where(_is_outline(labels), labels, 0).astype(dtype),
        "masks": labels.astype(dtype),
        "chan_choose": GRAY,
        "ismanual": np.zeros(count, bool),
        "filename": "" if image_path is None else str(image_path),
        "flows": [],
        "est_diam": diameter,
    }
    with whole_file(path) as temporary, temporary.open("wb") as stream:
        _save(stream, content)


# The Python implementation, because the C implementation does not allow changing names.
class _AnyNumpy(pickle._Pickler):
    """Writes numpy's functions with names that all versions since 1.0 know.

    In numpy 2 they are in `numpy._core`, which numpy before 1.26 cannot import.
    """

    def save_global(self, obj: Any, name: str | None = None) -> None:
        module = getattr(obj, "__module__", None) or ""
        if not module.startswith("numpy._core."):
            super().save_global(obj, name)  # type: ignore[misc]
            return
        text = f"{module.replace('._core.', '.core.')}\n{obj.__qualname__}\n"
        self.write(pickle.GLOBAL + text.encode("ascii"))  # type: ignore[attr-defined]
        self.memoize(obj)  # type: ignore[attr-defined]


def _save(stream: BinaryIO, content: dict[str, Any]) -> None:
    """Write what `np.save` writes for a dictionary, for every version of numpy.

    Cellpose reads only pickles; this one contains arrays, text, numbers and lists.
    """
    boxed = np.empty((), dtype=object)
    boxed[()] = content
    header = {"descr": "|O", "fortran_order": False, "shape": ()}
    np.lib.format.write_array_header_1_0(stream, header)
    _AnyNumpy(stream, protocol=3).dump(boxed)


def _is_outline(labels: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Return the pixels of cells that are 4-adjacent to something else, bool[H, W]."""
    around = np.pad(labels, 1)
    sides = (around[:-2, 1:-1], around[2:, 1:-1], around[1:-1, :-2], around[1:-1, 2:])
    differs = np.zeros(labels.shape, bool)
    for side in sides:
        differs |= side != labels
    return differs & (labels > 0)


def read_seg(path: Path) -> Instances:
    """Read the cells of a `_seg.npy` file in the order of their labels, all with the type 'cell'.

    No code from the file is run: a file with objects other than arrays and plain values is refused.
    Flows, colours and other data beside the masks are ignored.

    Raises:
        InputError: The file does not exist.
        FormatError: It is not a `_seg.npy` file, contains objects (the first is named), or its
            masks are not labels of one plane.
    """
    path = Path(path)
    content = _content(path)
    masks = _whole_numbers(content.get("masks"))
    if masks is None:
        raise FormatError(
            f"{path} has no 'masks' of whole numbers, expected Cellpose's _seg.npy",
            file=path,
            key="masks",
        )
    if masks.ndim == 3 and len(masks) == 1:
        masks = masks[0]
    if masks.ndim != 2 or 0 in masks.shape:
        raise FormatError(
            f"{path} has masks of the shape {masks.shape}, expected one plane [H, W]",
            file=path,
            key="masks",
            found=masks.shape,
        )
    # The first versions counted from -1, the background.
    low, high = int(masks.min()), int(masks.max())
    shift = 1 if low == -1 else 0
    if low < -1 or high > LARGEST_LABEL - shift:
        raise FormatError(
            f"{path} contains the label {low if low < -1 else high}, expected 0 or more",
            file=path,
            key="masks",
            found=low if low < -1 else high,
        )
    if is_white_mask(masks):
        labels = connected_cells(masks)
        log.warning("%s", binary_sentence(path, int(labels.max())))
        return Instances.from_label_map(labels)
    return Instances.from_label_map(masks.astype(np.int32) + shift)


def _whole_numbers(masks: Any) -> NDArray[Any] | None:
    """Convert to an integer array, also from lists or integral floats; None if impossible."""
    try:
        values = np.asarray(masks)
    except ValueError:  # lists of different lengths
        return None
    if values.dtype.kind == "f" and (np.isfinite(values) & (values == np.rint(values))).all():
        values = values.astype(np.int64)
    return values if values.dtype.kind in "iub" else None


def _content(path: Path) -> dict[Any, Any]:
    if not path.is_file():
        raise InputError(f"there is no file {path}", file=path)
    stream = io.BytesIO(path.read_bytes())
    try:
        version = np.lib.format.read_magic(stream)
        header = (np.lib.format.read_array_header_1_0 if version == (1, 0)
                  else np.lib.format.read_array_header_2_0)  # fmt: skip
        shape, _, dtype = header(stream)
    except Exception as error:  # numpy raises many kinds of exception for a damaged header
        raise FormatError(f"{path} is not a .npy file ({error})", file=path) from error
    if shape != () or dtype.kind != "O":
        raise FormatError(
            f"{path} contains an array of {dtype}, expected the dictionary of Cellpose's _seg.npy",
            file=path,
            found=dtype,
        )
    try:
        content = read_plain(stream)
    except PickleError as error:
        raise FormatError(f"{path} {error}; nothing in it was run", file=path) from error
    if not isinstance(content, np.ndarray) or content.shape != ():
        raise FormatError(f"{path} contains no dictionary, expected Cellpose's _seg.npy", file=path)
    value = content.item()
    if not isinstance(value, dict):
        raise FormatError(f"{path} contains no dictionary, expected Cellpose's _seg.npy", file=path)
    return value

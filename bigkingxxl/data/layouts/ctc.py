"""The layout of the Cell Tracking Challenge: frames in `01/`, cells in `01_GT/SEG/`, `01_ST/SEG/`.

The gold truth (GT) may omit cells of a frame and frames of a sequence; the silver truth (ST) is
computed by programs. If a frame has both, the gold truth is used.

Source: celltrackingchallenge.net, "Naming and file content conventions".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from bigkingxxl.data.base import Dataset
from bigkingxxl.data.layouts.files import Found, dataset_of
from bigkingxxl.data.layouts.tree import files_in, is_image_name
from bigkingxxl.errors import FormatError
from bigkingxxl.io.annotations.registry import AnnotationFile

TRUTHS = ("GT", "ST")  # in order of preference
SEQUENCE = re.compile(r"\d{2}")
FRAME = re.compile(r"t(\d{3,})")
SEGMENTATION = re.compile(r"(?:man_seg|seg)_?(\d{3,})")
SLICE = re.compile(r"man_seg_(\d{3,})_(\d{3,})")


def is_ctc(folder: Path) -> bool:
    """Return whether a folder contains a sequence with its cells, or is one."""
    return next(_sequences(folder), None) is not None


def open_ctc(folder: Path, *, skip_bad: bool = False) -> Dataset:
    """Open a folder of sequences, or the folder of one sequence beside its `_GT` or `_ST`.

    The id of an image is such as `01/t000`. Frames without annotated cells are unlabelled.

    Raises:
        FormatError: No frame has cells annotated in two dimensions.
    """
    found, gold, silver, slices = Found(), 0, 0, 0
    for sequence in _sequences(folder):
        frames = {match[1]: path for path in files_in(sequence) if is_image_name(path)
                  and (match := FRAME.fullmatch(path.stem))}  # fmt: skip
        for number, path in frames.items():
            found.images[f"{sequence.name}/t{number}"] = path
        for truth in TRUTHS:
            place = sequence.with_name(f"{sequence.name}_{truth}") / "SEG"
            for path in files_in(place) if place.is_dir() else ():
                slices += SLICE.fullmatch(path.stem) is not None
                match = SEGMENTATION.fullmatch(path.stem)
                image_id = None if match is None else f"{sequence.name}/t{match[1]}"
                if image_id in found.images and image_id not in found.files:
                    file = AnnotationFile(path, "labels", (image_id,), True)
                    found.files[image_id] = [file]
                    gold, silver = gold + (truth == "GT"), silver + (truth == "ST")
    if slices and not found.files:
        raise FormatError(
            f"{folder} contains cells in single planes of stacks (man_seg_T_Z), expected "
            "two-dimensional sequences (man_segT)",
            file=folder,
        )
    if gold:
        found.notes.append(f"{gold} frames are annotated by the gold truth (GT), which may leave "
                           f"out cells, and {silver} by the silver truth (ST)")  # fmt: skip
    return dataset_of(folder, found, skip_bad=skip_bad, layout="ctc")


def _sequences(folder: Path) -> Iterator[Path]:
    places = [folder] if SEQUENCE.fullmatch(folder.resolve().name) else sorted(folder.iterdir())
    for place in places:
        if SEQUENCE.fullmatch(place.resolve().name) and place.is_dir():
            truths = (place.with_name(f"{place.name}_{truth}") for truth in TRUTHS)
            if any((truth / "SEG").is_dir() for truth in truths):
                yield place

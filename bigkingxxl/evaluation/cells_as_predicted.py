"""The cells that `predict` finds in annotated images, for choosing settings and models.

`predict` leaves out the cells of images that are out of focus; see
`bigkingxxl.inference.domain.sharpness`. Here, an image keeps them if even its annotated cells look
out of focus: a person declared that they are cells, and settings can be chosen on them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from bigkingxxl.candidates import Candidates
from bigkingxxl.display_text import counted
from bigkingxxl.images import ImageSource
from bigkingxxl.inference.domain.sharpness import is_out_of_focus
from bigkingxxl.instances import Instances
from bigkingxxl.operating_points import OperatingPoints
from bigkingxxl.runs.selection import Selection


def cells_as_predicted(
    source: ImageSource, candidates: Candidates, points: OperatingPoints, truth: Instances
) -> Instances:
    """Select the cells of an annotated image as `predict` does.

    Args:
        source: The image, [H, W] pixels.
        candidates: The candidates in it.
        points: The operating points.
        truth: The annotated cells. If they look out of focus themselves, the cells are kept.
    """
    selection = Selection(points)
    cells, left_out = selection.cells_of(source, candidates)
    if left_out and is_out_of_focus(source, truth):
        return replace(selection, keep_blurred=True).cells_of(source, candidates)[0]
    return cells


def note_on_blurred(
    source: Callable[[str], ImageSource], truth: Mapping[str, Instances]
) -> str | None:
    """Return a note on the images whose annotated cells look out of focus; None if none does.

    Args:
        source: Opens an image by its id.
        truth: The annotated cells by image id.
    """
    blurred = [name for name, cells in truth.items() if is_out_of_focus(source(name), cells)]
    if not blurred:
        return None
    more = ", ..." if len(blurred) > 1 else ""
    return (
        f"the annotated cells of {counted(len(blurred), 'image')} look out of focus "
        f"({blurred[0]}{more}): they count here, but `predict` finds no cells in such images "
        "unless --keep-blurred is added"
    )

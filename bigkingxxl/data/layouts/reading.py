"""Open images as a run opened them, with its channel and planes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bigkingxxl.errors import ImageError
from bigkingxxl.images import ImageSource
from bigkingxxl.io.images.image_files import open_images

OPTIONS = ("channel", "frames", "z", "position")  # the options of opening images in `run.json`


def opened(paths: Mapping[str, Path], options: Mapping[str, Any], image_id: str) -> ImageSource:
    """Open an image by its id.

    Raises:
        ImageError: It cannot be read, or its file no longer contains it.
    """
    path = paths[image_id]
    # A source without a name has only the mark of its plane, such as `_t003`.
    planes = [each for each in open_images(path, **options, name="")
              if image_id.endswith(each.name)]  # fmt: skip
    if not planes:
        raise ImageError(
            f"{path} no longer contains the image '{image_id}'", file=path, key=image_id
        )
    return max(planes, key=lambda each: len(each.name))

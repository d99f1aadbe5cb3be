"""How the images of a run are opened: kept with the run, so that they are opened so again."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from bigkingxxl.errors import FormatError
from bigkingxxl.images import ImageSource
from bigkingxxl.instances import PixelSize
from bigkingxxl.io.images.image_files import DEFAULT_PIXEL_LIMIT, open_frames, open_image


@dataclass(frozen=True)
class Reading:
    """What is read of each file.

    Attributes:
        channel: counted from 0; frames: the first page of a TIFF, or all.
        pixel_size_um: micrometres (row, column) in the place of what the file says.
        diameter: of the cells, in pixels, where the user says it.
        pixel_limit: larger images are refused.
    """

    channel: int | None = None
    frames: Literal["first", "all"] = "first"
    pixel_size_um: PixelSize | None = None
    diameter: float | None = None
    pixel_limit: int = DEFAULT_PIXEL_LIMIT

    def open(self, path: Path) -> list[ImageSource]:
        """The images of a file.

        Raises:
            ImageError: it cannot be read.
        """
        options: dict[str, Any] = {"channel": self.channel, "pixel_limit": self.pixel_limit}
        sources: Sequence[ImageSource]
        if self.frames == "all":
            sources = open_frames(path, **options)
        else:
            sources = [open_image(path, **options)]
        return [self._told(source) for source in sources]

    def _told(self, source: ImageSource) -> ImageSource:
        if self.diameter is None and self.pixel_size_um is None:
            return source
        source = copy.copy(source)
        source.cell_diameter = self.diameter
        source.pixel_size_um = self.pixel_size_um or source.pixel_size_um
        return source

    def as_json(self) -> dict[str, Any]:
        """For a run's settings."""
        return asdict(self)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Reading:
        """What `as_json` gave.

        Raises:
            FormatError: it is something else.
        """
        try:
            size = values.get("pixel_size_um")
            values = {**values, "pixel_size_um": None if size is None else (size[0], size[1])}
            return cls(**values)
        except (TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
            raise FormatError(f"how the run's images are opened is not understood: {error}") \
                from error  # fmt: skip

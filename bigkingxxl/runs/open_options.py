"""How the images of a run are opened, stored with the run so that they can be opened again."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from bigkingxxl.errors import FormatError
from bigkingxxl.images import ImageSource
from bigkingxxl.inference.size.scale_ratio import ScaleHint
from bigkingxxl.instances import PixelSize
from bigkingxxl.io.images import open_images
from bigkingxxl.io.images.series import PlaneChoice


@dataclass(frozen=True)
class OpenOptions:
    """The options of opening image files.

    Attributes:
        channel: See `bigkingxxl.io.images.open_images`.
        frames: See `bigkingxxl.io.images.open_images`.
        z: See `bigkingxxl.io.images.open_images`.
        position: See `bigkingxxl.io.images.open_images`.
        pixel_size_um: Micrometres per pixel (row, column); it replaces the value of the file.
        diameter: The cell diameter in pixels, if the user gives it.
        pixel_limit: Larger images are refused; None accepts every image that is read by window.
    """

    channel: int | None = None
    frames: str | None = None
    z: str | None = None
    position: int | None = None
    pixel_size_um: PixelSize | None = None
    diameter: float | None = None
    pixel_limit: int | None = None

    def check(self) -> None:
        """Check the options independently of a file.

        Raises:
            InputError: See `PlaneChoice.check`.
        """
        PlaneChoice(self.channel, self.frames, self.z, self.position).check()

    def open(self, path: Path, name: str | None = None) -> list[ImageSource]:
        """Open the images of a file.

        Args:
            path: The file.
            name: The name of the file in the run; by default its name without ending.

        Raises:
            ImageError: It cannot be read.
        """
        sources = open_images(
            path, channel=self.channel, frames=self.frames, z=self.z, position=self.position,
            pixel_limit=self.pixel_limit, name=name,
        )  # fmt: skip
        given = ScaleHint(diameter=self.diameter, pixel_size_um=self.pixel_size_um)
        return [given.applied_to(source) for source in sources]

    def reopen(self, path: Path, image_ids: Collection[str]) -> list[ImageSource]:
        """Open the images of a file that a run contains, with their ids.

        Raises:
            ImageError: It cannot be read.
        """
        found = []
        every = replace(self, frames=None, position=None)  # the ids determine these
        for source in every.open(path, ""):  # the name is then the mark of the plane in the file
            ids = [image_id for image_id in image_ids if image_id.endswith(source.name)]
            if len(ids) == 1:
                source.name = ids[0]
                found.append(source)
        return found

    @staticmethod
    def is_partial(values: Mapping[str, Any]) -> bool:
        """Return whether options select some frames or one position of files."""
        return values.get("frames") not in (None, "all") or values.get("position") is not None

    def as_json(self) -> dict[str, Any]:
        """Return the options as JSON values for the settings of a run."""
        return asdict(self)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> OpenOptions:
        """Create options from the values that `as_json` returned.

        Raises:
            FormatError: They are something else.
        """
        try:
            size = values.get("pixel_size_um")
            values = {**values, "pixel_size_um": None if size is None else (size[0], size[1])}
            return cls(**values)
        except (TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
            raise FormatError(f"how the run's images are opened is not understood: {error}") \
                from error  # fmt: skip

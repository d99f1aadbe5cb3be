"""How the images of a run are opened: kept with the run, so that they are opened so again."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from bigkingxxl.errors import FormatError
from bigkingxxl.images import ImageSource
from bigkingxxl.inference.size.sizing import ScaleHint
from bigkingxxl.instances import PixelSize
from bigkingxxl.io.images import open_images
from bigkingxxl.io.images.series import PlaneChoice


@dataclass(frozen=True)
class Reading:
    """What is read of each file.

    Attributes:
        channel, frames, z, position: see `bigkingxxl.io.images.open_images`.
        pixel_size_um: micrometres (row, column) in the place of what the file says.
        diameter: of the cells, in pixels, where the user says it.
        pixel_limit: larger images are refused; None refuses none that is read by window.
    """

    channel: int | None = None
    frames: str | None = None
    z: str | None = None
    position: int | None = None
    pixel_size_um: PixelSize | None = None
    diameter: float | None = None
    pixel_limit: int | None = None

    def check(self) -> None:
        """Refuse what no file could answer.

        Raises:
            InputError: see `PlaneChoice.check`.
        """
        PlaneChoice(self.channel, self.frames, self.z, self.position).check()

    def open(self, path: Path, name: str | None = None) -> list[ImageSource]:
        """The images of a file.

        Args:
            name: what the run calls the file (default: its own name without ending).

        Raises:
            ImageError: it cannot be read.
        """
        sources = open_images(
            path, channel=self.channel, frames=self.frames, z=self.z, position=self.position,
            pixel_limit=self.pixel_limit, name=name,
        )  # fmt: skip
        given = ScaleHint(diameter=self.diameter, pixel_size_um=self.pixel_size_um)
        return [given.applied_to(source) for source in sources]

    def reopen(self, path: Path, image_ids: Collection[str]) -> list[ImageSource]:
        """Those images of a file that a run has, under their ids there.

        Raises:
            ImageError: it cannot be read.
        """
        found = []
        every = replace(self, frames=None, position=None)  # the ids say which
        for source in every.open(path, ""):  # its name is the mark of its plane in the file
            ids = [image_id for image_id in image_ids if image_id.endswith(source.name)]
            if len(ids) == 1:
                source.name = ids[0]
                found.append(source)
        return found

    @staticmethod
    def is_partial(values: Mapping[str, Any]) -> bool:
        """Whether `as_json` tells of some frames or one position of files that may have more."""
        return values.get("frames") not in (None, "all") or values.get("position") is not None

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

"""The images that were opened last: their pixels, thumbnails, and previews of other thresholds."""

from __future__ import annotations

from bigkingxxl.errors import InputError
from bigkingxxl.viewer import contract as wire
from bigkingxxl.viewer.server.pixels import ShownImage
from bigkingxxl.viewer.server.recently_used import RecentlyUsed
from bigkingxxl.viewer.server.workspace import KnownImage, Start, Workspace, start_of

IMAGES_KEPT = 6  # opened images in memory
THUMBNAILS_KEPT = 600
NOTHING_STORED = "no candidates are stored for this image, so other thresholds cannot be applied"


class ImageCache:
    """What windows see of the images of a workspace, except the cells that they edit."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self._opened = RecentlyUsed[str, ShownImage](IMAGES_KEPT)
        self._thumbnails = RecentlyUsed[str, bytes](THUMBNAILS_KEPT)
        self._previews = RecentlyUsed[tuple[str, wire.Settings], Start](IMAGES_KEPT)

    def opened(self, image: KnownImage) -> ShownImage:
        """Return an image, opened.

        Raises:
            ImageError: Its file is gone or cannot be read.
        """
        return self._opened.get(image.key, lambda: self.workspace.open(image))

    def thumbnail(self, image: KnownImage) -> bytes:
        """Return the thumbnail of an image as PNG.

        Raises:
            ImageError: Its file is gone or cannot be read.
        """

        def make() -> bytes:
            # Not through `opened`: scrolling must not push open images out of memory.
            shown = self._opened.peek(image.key) or self.workspace.open(image)
            return shown.thumbnail()

        return self._thumbnails.get(image.key, make)

    def preview(self, image: KnownImage, settings: wire.Settings) -> Start:
        """Return the cells of an image that other thresholds would select.

        Raises:
            InputError: The thresholds cannot be applied, as nothing is stored for the image.
        """

        def make() -> Start:
            from bigkingxxl.io.annotations.run_cells import NumberedCells

            found = self.workspace.preview(image, settings)
            if found is None:
                raise InputError(self.workspace.cannot_apply or NOTHING_STORED, key=image.name)
            return start_of(NumberedCells.of(found), "model")

        return self._previews.get((image.key, settings), make)

    def forget_previews(self) -> None:
        """Drop all previews, because the run has other candidates now."""
        self._previews.clear()

"""The cells of one image as the Python interface returns them: count, measure, draw and save."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.candidates import Candidates
from bigkingxxl.errors import InputError, OutputError
from bigkingxxl.image_inputs import as_source
from bigkingxxl.images import ImageSource
from bigkingxxl.instances import UNTYPED, Instances
from bigkingxxl.settings import nearest

if TYPE_CHECKING:
    from bigkingxxl.io.annotations.outlines import Polygon
    from bigkingxxl.runs.outputs import PredictedImage

NOTEBOOK_SIDE = 1000  # the longest side, in pixels, of the picture that a notebook shows
# Formats by file name ending; the longest ending that matches counts.
ENDINGS = {
    "_seg.npy": "cellpose", ".tif": "labels", ".tiff": "labels", ".png": "overlay",
    ".jpg": "overlay", ".csv": "measurements", ".parquet": "measurements", ".zip": "imagej",
    ".geojson": "qupath", ".json": "coco",
}  # fmt: skip


@dataclass(frozen=True, eq=False, repr=False)
class Cells:
    """The cells found in one image.

    >>> import bigkingxxl as bk
    >>> from bigkingxxl.simulate import simulate_field
    >>> cells = bk.load().predict(simulate_field("cort", size=(192, 256), seed=1).image)
    >>> len(cells) == int(cells.label_map().max())
    True
    >>> outer, *holes = cells.polygons()[0][0]
    >>> outer.shape[1]
    2

    Attributes:
        instances: The selected cells, disjoint and scored.
        candidates: All candidates of the model, before selection.
        source: The image in which the cells were found.
        expected_quality: The expected segmentation accuracy in [0, 1], or None if the model does
            not predict it; see `bigkingxxl.expected_quality`.
        warnings: Sentences about the image that a user should read.
    """

    instances: Instances
    candidates: Candidates
    source: ImageSource
    expected_quality: float | None = None
    warnings: tuple[str, ...] = ()

    @property
    def diameter(self) -> float | None:
        """The cell diameter that was assumed for the image, in pixels, or None if it is unknown."""
        return self.candidates.cell_diameter

    def __len__(self) -> int:
        return len(self.instances)

    def __repr__(self) -> str:
        height, width = self.instances.size
        kinds = Counter(self.instances.cell_type.tolist())
        named = ", ".join(f"{count} {self.instances.type_names[kind] or 'of no known type'}"
                          for kind, count in sorted(kinds.items()))  # fmt: skip
        what = f": {named}" if named and len(self.instances.type_names) > 1 else ""
        count = "1 cell" if len(self) == 1 else f"{len(self)} cells"
        return f"<{count} in '{self.source.name}' ({height} x {width} pixels){what}>"

    def _repr_png_(self) -> bytes:
        """Return the overlay as PNG, which notebooks display."""
        from PIL import Image

        from bigkingxxl.io.pictures.overlay import draw_overlay

        picture = draw_overlay(self.source, self.instances, longest_side=NOTEBOOK_SIDE)
        content = io.BytesIO()
        Image.fromarray(picture).save(content, format="PNG")
        return content.getvalue()

    def show(self, height: int = 640) -> Any:
        """Show the cells in a read-only viewer inside a notebook.

        The notebook holds the data itself, and no server is needed. To correct cells, use
        `bigkingxxl view`.

        Args:
            height: The height of the viewer in screen pixels.

        Returns:
            An object that notebooks display.

        Raises:
            InputError: The image is longer than 4096 pixels on a side.
        """
        from bigkingxxl.viewer.notebook import Shown, page_of

        return Shown(page_of(self.source, self.instances, self.warnings), height)

    def label_map(self) -> NDArray[np.int32]:
        """Return the label map, int32[H, W]: 0 is background and cell i has the label i + 1."""
        return self.instances.label_map()

    def polygons(self) -> list[list[Polygon]]:
        """Return the outlines of each cell, one polygon per connected part.

        Returns:
            N lists of polygons. A polygon is a list of rings int32[K, 2], the outer ring first and
            then the holes. A ring holds the (x, y) = (column, row) of pixel corners; pixel 0 spans
            0 to 1.
        """
        from bigkingxxl.io.annotations.outlines import outlines

        return outlines(self.instances)

    def measurements(self, image: Any = None) -> Mapping[str, NDArray[Any]]:
        """Measure the cells; see `bigkingxxl.io.tables.measurements`.

        Args:
            image: The image in which intensities are measured (default: the segmented image).

        Returns:
            A column of N values per measurement, by its name.

        Raises:
            InputError: `image` is not an image, or its size differs.
        """
        from bigkingxxl.io.tables.measurements import measure

        source = self.source if image is None else as_source(image, self.source.pixel_size_um)
        if source.shape != self.instances.size:
            raise InputError(
                f"the image is {source.shape[0]} x {source.shape[1]} pixels (height x width), but "
                f"the cells were found in one of {self.instances.size[0]} x "
                f"{self.instances.size[1]}",
                key="image",
                found=source.shape,
                expected=self.instances.size,
            )
        return measure(source, self.instances)

    def to_coco(self) -> list[dict[str, Any]]:
        """Return the selected cells as COCO results: masks, boxes (x, y, w, h) and scores."""
        boxes, score = self.instances.boxes(), self.instances.score
        return [
            {
                "image_id": self.source.name,
                "category_id": int(kind) + 1,
                "category_name": self.instances.type_names[kind] or UNTYPED,
                "segmentation": {"size": list(self.instances.size), "counts": text},
                "bbox": [int(c0), int(r0), int(c1 - c0), int(r1 - r0)],
                "score": 1.0 if score is None else float(score[i]),
            }
            for i, (text, (r0, c0, r1, c1), kind) in enumerate(
                zip(self.instances.coco_strings(), boxes, self.instances.cell_type, strict=True)
            )
        ]

    def overlay(self) -> NDArray[np.uint8]:
        """Draw the outlines of the cells on the image; returns uint8[H, W, 3]."""
        from bigkingxxl.io.pictures.overlay import draw_overlay

        return draw_overlay(self.source, self.instances)

    def save(self, path: str | Path, format: str | None = None) -> Path:  # noqa: A002
        """Write the cells to a file, in any single-image format of `bigkingxxl predict`.

        Args:
            path: The file.
            format: labels, overlay, measurements, contact_sheet (a thumbnail), imagej, qupath,
                cellpose, coco (all candidates) or submission. By default it follows from the
                ending: .tif, .png, .csv, .parquet, .zip, .geojson, _seg.npy or .json.

        Returns:
            The file.

        Raises:
            OutputError: The format or ending is unknown, or the file cannot be written.
        """
        from bigkingxxl.files import make_folder
        from bigkingxxl.io.tables.measurements import write_measurements
        from bigkingxxl.runs.outputs import IMAGE_FORMATS

        path = Path(path)
        name = _format_of(path) if format is None else format
        if name not in IMAGE_FORMATS:
            raise OutputError(
                f"{path} is not written: there is no format '{name}'{nearest(name, IMAGE_FORMATS)}",
                file=path,
                key="format",
                found=name,
                expected=tuple(IMAGE_FORMATS),
            )
        make_folder(path.parent)
        if name == "measurements":  # it is written as CSV or Parquet
            write_measurements(path, self.measurements())
        else:
            IMAGE_FORMATS[name].write(path, self._predicted())
        return path

    def _predicted(self) -> PredictedImage:
        from bigkingxxl.io.annotations.run_cells import NumberedCells
        from bigkingxxl.runs.outputs import PredictedImage

        file = Path(getattr(self.source, "path", self.source.name))
        return PredictedImage(
            self.source, NumberedCells.of(self.instances), file, self.source.name,
            lambda: self.candidates,
        )  # fmt: skip


def _format_of(path: Path) -> str:
    """Return the format that an ending stands for.

    Raises:
        OutputError: The ending is unknown.
    """
    for ending, name in ENDINGS.items():
        if path.name.lower().endswith(ending):
            return name
    raise OutputError(
        f"{path} is not written: its extension does not name a format, expected one of "
        f"{', '.join(ENDINGS)}, or a format by name, such as format='labels'",
        file=path,
        key="format",
        expected=tuple(ENDINGS),
    )

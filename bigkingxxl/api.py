"""The package in three lines of Python: load a model, predict an image, use the cells."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.candidates import Candidates
from bigkingxxl.errors import InputError
from bigkingxxl.images import ImageSource
from bigkingxxl.instances import Instances, PixelSize
from bigkingxxl.runs.reader import open_run

if TYPE_CHECKING:
    from bigkingxxl.inference.predictor import Predictor
    from bigkingxxl.models import ModelCard
    from bigkingxxl.runs.selection import Selection

__all__ = ["Cells", "LoadedModel", "as_source", "load", "open_run"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Cells:
    """The cells found in one image.

    Attributes:
        instances: disjoint, scored cells; candidates: everything the model saw.
        source: the image they were found in.
    """

    instances: Instances
    candidates: Candidates
    source: ImageSource

    def __len__(self) -> int:
        return len(self.instances)

    def label_map(self) -> NDArray[np.int32]:
        """int32[H, W]: 0 is background, cell i is i + 1."""
        return self.instances.label_map()

    def measurements(self, image: Any = None) -> Mapping[str, NDArray[Any]]:
        """A column of N values for each measurement; see `bigkingxxl.io.tables.measurements`.

        Args:
            image: where intensities are read (default: the image the cells were found in).
        """
        from bigkingxxl.io.tables.measurements import measure

        source = self.source if image is None else as_source(image, self.source.pixel_size_um)
        return measure(source, self.instances)

    def to_coco(self) -> list[dict[str, Any]]:
        """COCO results of the selected cells: compressed masks, boxes (x, y, w, h), scores."""
        boxes, score = self.instances.boxes(), self.instances.score
        return [
            {
                "image_id": self.source.name,
                "category_id": int(kind) + 1,
                "category_name": self.instances.type_names[kind],
                "segmentation": {"size": list(self.instances.size), "counts": text},
                "bbox": [int(c0), int(r0), int(c1 - c0), int(r1 - r0)],
                "score": 1.0 if score is None else float(score[i]),
            }
            for i, (text, (r0, c0, r1, c1), kind) in enumerate(
                zip(self.instances.coco_strings(), boxes, self.instances.cell_type, strict=True)
            )
        ]

    def overlay(self) -> NDArray[np.uint8]:
        """uint8[H, W, 3]: the cells outlined on the image."""
        from bigkingxxl.io.pictures.overlay import draw_overlay

        return draw_overlay(self.source, self.instances)


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model ready to predict.

    Attributes:
        card: what it is and was made from.
    """

    card: ModelCard
    predictor: Predictor
    selection: Selection

    def predict(
        self, image: Any, *, pixel_size: float | PixelSize | None = None,
        diameter: float | None = None,
    ) -> Cells:  # fmt: skip
        """The cells of one image.

        How large they are seen follows the scale given to `load`, else `diameter`, else the pixel
        size where the model knows that of its training; else it is estimated from the image.

        Args:
            image: a path, an `ImageSource`, or an array or tensor [H, W] or [C, H, W] (also
                [H, W, 3 or 4] colour), of any real dtype.
            pixel_size: micrometres a pixel; by default what the file says.
            diameter: of the cells in this image, in its pixels.
        Raises:
            ImageError, InputError: it cannot be read, is no image, or is given a size that is
                impossible or asks for too large an image.
        """
        from bigkingxxl.inference.familiarity import warnings_for
        from bigkingxxl.inference.sizing import GivenSize

        given = GivenSize(getattr(self.predictor, "scale", None), diameter, _pair(pixel_size))
        given.check([self.card])
        source = given.told(as_source(image))
        candidates = self.predictor.candidates(source)
        cells = self.selection.instances(candidates, source.pixel_size_um)
        found = warnings_for(
            self.card, source, candidates, cells, scale_given=given.scale is not None
        )
        for warning in found:
            log.warning("%s: %s", source.name, warning)
        return Cells(cells, candidates, source)


def load(
    model: str | Path | Sequence[str | Path] = "bundled",
    *,
    weights: Sequence[float] | None = None,
    device: str = "auto",
    scale: float | None = None,
    cell_type: str | None = None,
) -> LoadedModel:
    """Load a model, or several as an ensemble.

    What several see is fused on masks; the thresholds are the first one's, or of each type those
    of the first that knows it. `bigkingxxl.inference.ensemble` says how models are joined.

    Args:
        model: "bundled", "synthetic", or a file (.safetensors or .onnx; the latter needs no torch);
            or several of these;
        weights: how much each of several models counts (default: all alike);
        device: auto, cpu, cuda or mps; scale: network pixels an image pixel;
        cell_type: the images' type where it is known.
    Raises:
        ModelError: missing, damaged or not ours; MissingExtraError: torch is needed for it.
        InputError: models that cannot be joined, weights that do not fit, an unknown cell type.
    """
    from bigkingxxl.inference.load_ensemble import load_ensemble
    from bigkingxxl.inference.sizing import GivenSize
    from bigkingxxl.models import resolve_model
    from bigkingxxl.runs.selection import Selection

    GivenSize(scale).check([])
    names = [model] if isinstance(model, str | Path) else model
    paths = [resolve_model(name) for name in names]
    predictor, card = load_ensemble(
        paths, device, weights=weights, scale=scale, cell_type=cell_type
    )
    selection = Selection(card.operating_points, cell_type)
    return LoadedModel(card, predictor, selection)


def as_source(image: Any, pixel_size: PixelSize | None = None) -> ImageSource:
    """Whatever a user calls an image, as an `ImageSource`."""
    if isinstance(image, ImageSource):
        return image
    if isinstance(image, str | Path):
        from bigkingxxl.io.images.image_files import open_image

        source = open_image(Path(image))
        source.pixel_size_um = pixel_size or source.pixel_size_um
        return source
    if hasattr(image, "detach"):  # a torch tensor, without importing torch
        image = image.detach().cpu().numpy()
    pixels = np.asarray(image)
    if pixels.dtype.kind not in "biuf":
        raise InputError(f"an image is a path or an array of numbers, not {type(image).__name__}")
    from bigkingxxl.io.images.axes import array_source

    return array_source(pixels, pixel_size_um=pixel_size)


def _pair(pixel_size: float | PixelSize | None) -> PixelSize | None:
    if pixel_size is None:
        return None
    rows, cols = pixel_size if isinstance(pixel_size, tuple) else (pixel_size, pixel_size)
    return float(rows), float(cols)

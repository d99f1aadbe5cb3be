"""The Python interface: load a model, predict images, and use or score the cells."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bigkingxxl.errors import InputError
from bigkingxxl.image_inputs import as_source, sources_of
from bigkingxxl.images import ImageSource
from bigkingxxl.instances import PixelSize
from bigkingxxl.predicted_cells import Cells
from bigkingxxl.runs.reader import open_run

if TYPE_CHECKING:
    from bigkingxxl.inference.predictor import Predictor
    from bigkingxxl.model_card import ModelCard
    from bigkingxxl.runs.selection import Selection

__all__ = ["Cells", "LoadedModel", "as_source", "load", "open_run", "score"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False, repr=False)
class LoadedModel:
    """A model that is ready to predict; `bigkingxxl.load` creates it.

    Attributes:
        card: What the model is, what it was trained on and how it predicts.
    """

    card: ModelCard
    predictor: Predictor
    selection: Selection

    def __repr__(self) -> str:
        types = ", ".join(self.card.type_names)
        size = self.card.median_diameter
        known = "" if size is None else f", cells of about {size:.0f} pixels"
        return f"<model '{self.card.method}' of {types}{known}>"

    def predict(
        self, image: Any, *, channel: int | None = None, diameter: float | None = None,
        pixel_size: float | PixelSize | None = None, frames: int | str | None = None,
        z: int | str | None = None, position: int | None = None, min_score: float | None = None,
        min_area: float | None = None, exclude_border: bool = False, keep_blurred: bool = False,
    ) -> Any:  # fmt: skip
        """Segment the cells of one image, or of several.

        The scale at which the network reads the image is, in this order: the `scale` given to
        `load`; the ratio of the model's cell diameter to `diameter`; the ratio of the pixel sizes,
        if both are known. Otherwise the size of the cells is estimated from the image.

        >>> import bigkingxxl as bk
        >>> from bigkingxxl.simulate import simulate_field
        >>> image = simulate_field("cort", size=(192, 256), seed=1).image
        >>> model = bk.load()
        >>> model.predict(image, diameter=17).instances.size
        (192, 256)
        >>> [len(cells) > 0 for cells in model.predict([image, image[:100]])]
        [True, True]

        Args:
            image: A path, an `ImageSource`, or an array or tensor of shape [H, W], [C, H, W] or [H,
                W, C] and any real dtype. A list of these, a folder or a pattern such as 'a*.tif'
                stands for several images.
            channel: The channel to segment, counted from 0.
            diameter: The diameter of the cells, in pixels of these images.
            pixel_size: Micrometres per pixel; by default the value stored in the file.
            frames: The frames of a time-lapse to segment; see `bigkingxxl.io.images.open_images`.
            z: The slice or projection of a z-stack; see `bigkingxxl.io.images.open_images`.
            position: The position of a multi-position file; see `bigkingxxl.io.images.open_images`.
            min_score: Discard cells with a lower score. It replaces the model's own thresholds.
            min_area: Discard cells with a smaller area, in pixels of the image. It replaces the
                model's own thresholds.
            exclude_border: Discard cells that touch the border of the image.
            keep_blurred: Keep the cells of images that are out of focus, too; see
                `bigkingxxl.inference.domain.sharpness`.

        Returns:
            The `Cells` of the image, or a list of `Cells` for a list, a folder, a pattern or a file
            that holds several images.

        Raises:
            ImageError: An image cannot be read, or the file is not an image.
            InputError: The given size is impossible or would enlarge the image too much.
        """
        from bigkingxxl.inference.size.scale_ratio import ScaleHint

        given = ScaleHint(getattr(self.predictor, "scale", None), diameter, _pair(pixel_size))
        given.check([self.card])
        selection = replace(
            self.selection, min_score=min_score, min_area=min_area,
            exclude_border=exclude_border, keep_blurred=keep_blurred,
        )  # fmt: skip
        selection.check()
        sources, are_several = sources_of(
            image, channel=channel, frames=frames, z=z, position=position
        )
        found = [self._cells(given.applied_to(source), selection) for source in sources]
        self._tell(found, given.scale is not None or diameter is not None)
        return found if are_several else found[0]

    def _cells(self, source: ImageSource, selection: Selection) -> Cells:
        from bigkingxxl.inference.domain.quality_assessment import assess_quality

        candidates = self.predictor.candidates(source)
        cells, blurred = selection.cells_of(source, candidates)
        found = assess_quality(self.card, source, candidates, cells)
        warnings = (*blurred, *found.warnings)
        return Cells(cells, candidates, source, found.expected_quality, warnings)

    def _tell(self, found: Sequence[Cells], size_given: bool) -> None:
        """Report the assumed cell size and a warning, once for all images."""
        from bigkingxxl.inference.domain.quality_assessment import QualityAssessment, advice
        from bigkingxxl.inference.size.size_summary import size_sentence

        known = [cells.diameter for cells in found if cells.diameter is not None]
        if not size_given and known:
            log.info(size_sentence(known, "predict(diameter=...) changes it"))
        of_each = [
            (cells.source.name, QualityAssessment(cells.expected_quality, cells.warnings))
            for cells in found
        ]
        option = "predict(diameter=...)"
        if sentence := advice(self.card, len(found), of_each, size_given, option):
            log.warning("%s; see `cells.warnings`", sentence)


def load(
    model: str | Path | Sequence[str | Path] = "bundled",
    *,
    weights: Sequence[float] | None = None,
    device: str = "auto",
    scale: float | None = None,
    cell_type: str | None = None,
    tile: int | None = None,
    tta: str | Sequence[str] | None = None,
) -> LoadedModel:
    """Load a model, or several models as an ensemble.

    The masks of an ensemble's members are fused. Each cell type takes its operating point from the
    first model that knows the type. See `bigkingxxl.inference.ensemble`.

    Args:
        model: The name of a shipped model ("bundled", "sartorius" or "open"), a model file
            (.safetensors, .onnx or .ensemble), or several of these. Only .safetensors files need
            torch.
        weights: The weight of each of several models; by default they are equal.
        device: "auto", "cpu", "cuda" or "mps".
        scale: Network pixels per image pixel; by default it follows the size of the cells.
        cell_type: The cell type of the images, if it is known.
        tile: The longest side of a tile in network pixels. A smaller one needs less memory and
            gives the same cells.
        tta: Test-time augmentation such as "flips,scales"; by default the models' own. See
            `bigkingxxl.test_time_augmentation`.

    Raises:
        ModelError: A model file is missing, damaged or not one of this package.
        MissingExtraError: The model needs torch, which is not installed.
        InputError: The models cannot be combined, the weights do not fit them, or the cell type is
            unknown.
    """
    from bigkingxxl.inference.ensemble_file import members_of
    from bigkingxxl.inference.load_ensemble import load_ensemble
    from bigkingxxl.inference.size.scale_ratio import ScaleHint
    from bigkingxxl.runs.selection import Selection
    from bigkingxxl.test_time_augmentation import asked_augmentations

    ScaleHint(scale).check([])
    if not isinstance(model, Path) and not len(model):
        raise InputError(
            "no model is named, expected bundled, sartorius, open or a model file", key="model"
        )
    names = [model] if isinstance(model, str | Path) else model
    found = members_of(names, weights)
    changes = found.changes if tta is None else {"tta": asked_augmentations(tta)}
    predictor, card = load_ensemble(
        found.files, device, weights=found.weights, changes=changes, scale=scale,
        cell_type=cell_type, tile=tile, points=found.points,
    )  # fmt: skip
    selection = Selection(card.operating_points, cell_type)
    return LoadedModel(card, predictor, selection)


def score(
    truth: Any, predicted: Any, metrics: str | Sequence[str] = "all", *, ignored: Any = None
) -> dict[str, float | None]:
    """Score the predicted cells of one image against the annotated ones.

    >>> import numpy as np
    >>> import bigkingxxl as bk
    >>> truth = np.array([[1, 1, 1, 0, 2, 2]])
    >>> predicted = np.array([[1, 1, 0, 0, 0, 3]])
    >>> bk.score(truth, predicted, "f1@0.5,precision@0.6,counts")["f1@0.5"]
    1.0

    Args:
        truth: The annotated cells: `Cells`, `Instances`, or a label map int[H, W] with 0 =
            background.
        predicted: The predicted cells, in one of the same forms.
        metrics: Names such as 'f1@0.5,pq', or a list of them; see docs/metrics.md.
        ignored: bool[H, W], True where the image is not annotated. Predicted cells that lie mostly
            there are not counted.

    Returns:
        Each value by its name, such as 'pq.sq'; None where the metric is undefined.

    Raises:
        InputError: A metric is unknown, the sizes differ, an argument is not a label map, or
            predicted cells overlap although a metric forbids it.
    """
    from bigkingxxl.evaluation.score_image import score_image

    cells, found = (
        each.instances if isinstance(each, Cells) else each for each in (truth, predicted)
    )
    return score_image(cells, found, metrics, ignored=ignored)


def _pair(pixel_size: float | PixelSize | None) -> PixelSize | None:
    if pixel_size is None:
        return None
    try:
        rows, cols = pixel_size if isinstance(pixel_size, Sequence) else (pixel_size, pixel_size)
        return float(rows), float(cols)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"the pixel size is {pixel_size!r}, expected micrometres: a number, or one for rows "
            "and one for columns",
            key="pixel_size",
            found=pixel_size,
        ) from error

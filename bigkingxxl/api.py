"""The package in three lines of Python: load a model, predict an image, use the cells."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bigkingxxl.cells import Cells
from bigkingxxl.errors import InputError
from bigkingxxl.images import ImageSource
from bigkingxxl.instances import PixelSize
from bigkingxxl.runs.reader import open_run
from bigkingxxl.sources import as_source, sources_of

if TYPE_CHECKING:
    from bigkingxxl.inference.predictor import Predictor
    from bigkingxxl.models import ModelCard
    from bigkingxxl.runs.selection import Selection

__all__ = ["Cells", "LoadedModel", "as_source", "load", "open_run", "score"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False, repr=False)
class LoadedModel:
    """A model ready to predict.

    Attributes:
        card: what it is and was made from.
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
        min_area: float | None = None, exclude_border: bool = False,
    ) -> Any:  # fmt: skip
        """The cells of one image, or of each of several.

        How large they are seen follows the scale given to `load`, else `diameter`, else the pixel
        size where the model knows that of its training; else it is estimated from the image.

        >>> import bigkingxxl as bk
        >>> from bigkingxxl.simulate import simulate_field
        >>> image = simulate_field("cort", size=(192, 256), seed=1).image
        >>> model = bk.load()
        >>> model.predict(image, diameter=17).instances.size
        (192, 256)
        >>> [len(cells) > 0 for cells in model.predict([image, image[:100]])]
        [True, True]

        Args:
            image: a path, an `ImageSource`, or an array or tensor [H, W], [C, H, W] or [H, W, C],
                of any real dtype; or several: a list of these, a folder, a pattern like 'a*.tif'.
            channel: the one to look at, counted from 0.
            diameter: of the cells in these images, in their pixels.
            pixel_size: micrometres per pixel; by default what the file says.
            frames, z, position: of a file that holds several images; see
                `bigkingxxl.io.images.open_images`.
            min_score, min_area: cells below are left out, in the place of the model's own
                thresholds; the area in pixels of the image.
            exclude_border: leave out cells that touch the border of the image.
        Returns:
            The `Cells` of the image; of a list, a folder, a pattern or a file of several images a
            list of the cells of each.
        Raises:
            ImageError, InputError: an image cannot be read, is none, or is given a size that is
                impossible or asks for too large an image.
        """
        from bigkingxxl.inference.size.sizing import ScaleHint

        given = ScaleHint(getattr(self.predictor, "scale", None), diameter, _pair(pixel_size))
        given.check([self.card])
        selection = replace(
            self.selection, min_score=min_score, min_area=min_area, exclude_border=exclude_border
        )
        selection.check()
        sources, are_several = sources_of(
            image, channel=channel, frames=frames, z=z, position=position
        )
        found = [self._cells(given.applied_to(source), selection) for source in sources]
        self._tell(found, given.scale is not None or diameter is not None)
        return found if are_several else found[0]

    def _cells(self, source: ImageSource, selection: Selection) -> Cells:
        from bigkingxxl.inference.domain.judgement import judge

        candidates = self.predictor.candidates(source)
        cells = selection.instances(candidates, source.pixel_size_um)
        found = judge(self.card, source, candidates, cells)
        return Cells(cells, candidates, source, found.expected_quality, found.warnings)

    def _tell(self, found: Sequence[Cells], size_given: bool) -> None:
        """One line on the size that was taken, and one warning, however many images there are."""
        from bigkingxxl.inference.domain.judgement import Judgement, advice
        from bigkingxxl.inference.size.sentence import size_sentence

        known = [cells.diameter for cells in found if cells.diameter is not None]
        if not size_given and known:
            log.info(size_sentence(known, "predict(diameter=...) changes it"))
        of_each = [
            (cells.source.name, Judgement(cells.expected_quality, cells.warnings))
            for cells in found
        ]
        option = "predict(diameter=...)"
        if sentence := advice(self.card, len(found), of_each, size_given, option):
            log.warning("%s; `cells.warnings` tells why", sentence)


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
    """Load a model, or several as an ensemble.

    What several see is fused on masks; the thresholds are the first one's, or of each type those
    of the first that knows it. `bigkingxxl.inference.ensemble` says how models are joined.

    Args:
        model: the name of a shipped model ("bundled", "sartorius", "open"), or a file
                (.safetensors or .onnx; the latter needs no torch; .ensemble, see
                `inference.ensemble_file`); or several of these;
        weights: how much each of several models counts (default: all alike);
        device: auto, cpu, cuda or mps; scale: network pixels per image pixel;
        cell_type: the images' type where it is known;
        tile: longest side in network pixels that is seen at once: less memory, same cells;
        tta: test-time augmentation, such as "flips,scales", in the place of the models' own; see
                `bigkingxxl.test_time_augmentation`.
    Raises:
        ModelError: missing, damaged or not ours; MissingExtraError: torch is needed for it.
        InputError: models that cannot be joined, weights that do not fit, an unknown cell type.
    """
    from bigkingxxl.inference.ensemble_file import members_of
    from bigkingxxl.inference.load_ensemble import load_ensemble
    from bigkingxxl.inference.size.sizing import ScaleHint
    from bigkingxxl.runs.selection import Selection
    from bigkingxxl.test_time_augmentation import asked_augmentations

    ScaleHint(scale).check([])
    if not isinstance(model, Path) and not len(model):
        raise InputError("no model is named, expected bundled, sartorius, open or a model file")
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
    >>> found = np.array([[1, 1, 0, 0, 0, 3]])
    >>> bk.score(truth, found, "f1@0.5,precision@0.6,counts")["f1@0.5"]
    1.0

    Args:
        truth, predicted: `Cells`, `Instances`, or a label map int[H, W], 0 = background.
        metrics: names such as 'f1@0.5,pq', or a list of them; see docs/metrics.md.
        ignored: bool[H, W], what is not annotated; cells that mostly lie there are not counted.
    Returns:
        every number by its name, such as 'pq.sq'; None where there is nothing to measure.
    Raises:
        InputError: an unknown metric, sizes that differ, no label map, or overlapping predicted
            cells where a metric forbids them.
    """
    from bigkingxxl.evaluation.one_image import score_image

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
            "and one for columns"
        ) from error

"""The first stage: choose a cell size for all or each image, thresholds and a minimum area."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bigkingxxl.cell_widths import typical_size
from bigkingxxl.evaluation.cells_as_predicted import cells_as_predicted
from bigkingxxl.evaluation.confidence_bound import lower_confidence_bound
from bigkingxxl.evaluation.coordinate_search import CLEAR_GAIN
from bigkingxxl.evaluation.partial_annotation import Ignored, counted
from bigkingxxl.evaluation.prediction_cache import PredictionCache
from bigkingxxl.evaluation.tuning import Tuner
from bigkingxxl.inference.network_predictor import NetworkPredictor
from bigkingxxl.instances import UNTYPED, Instances
from bigkingxxl.model_card import ModelCard
from bigkingxxl.operating_points import OperatingPoints
from bigkingxxl.training.finetune.held_out_units import Units
from bigkingxxl.training.finetune.prediction_caches import HeldOutCache, SizedCache

STEPS_PER_OCTAVE = 16  # of the diameters that are tried


@dataclass(frozen=True)
class Choice:
    """The chosen settings of a model.

    Attributes:
        diameter: The diameter (or width, if the model uses it) of the cells in all images in
            pixels; None estimates it for each image.
        points: The operating points.
    """

    diameter: float | None
    points: OperatingPoints


class Truth:
    """The annotated cells of units and the areas that are not annotated.

    Attributes:
        cells: The cells that count, by unit.
        ignored: bool[H, W] or None, by unit.
        types: The cell type that each unit helps to tune, by unit.
        is_typed: Whether these are the types that the model distinguishes.
    """

    def __init__(self, units: Units, type_names: Sequence[str]) -> None:
        data = units.data
        ids = units.sampled
        self.ignored: dict[str, Ignored | None] = {each: data.ignored(each) for each in ids}
        self.cells = {each: counted(data.instances(each), self.ignored[each]) for each in ids}
        own = {each: data.cell_type(each) for each in ids}
        shown = {name for name in own.values() if name is not None}
        self.is_typed = len(type_names) > 1 and bool(shown) and shown <= set(type_names)
        self.types = own if self.is_typed else dict.fromkeys(ids, UNTYPED)

    def sizes(self, ids: Iterable[str], *, by_width: bool) -> list[float]:
        """Return the median cell size of each unit in pixels; units without cells are left out."""
        found = (typical_size(self.cells[each], by_width=by_width) for each in ids)
        return [size for size in found if size is not None]

    def counted(self, image_id: str, found: Instances) -> Instances:
        """Return the predicted cells of a unit that count."""
        return counted(found, self.ignored[image_id])


class Chooser:
    """Chooses settings of a model on annotated units, and predicts units with given settings.

    Args:
        predictors: The model by unit; it differs between units if each needs a model that was not
            trained on it.
        card: The card of the models.
        units: The annotated units.
        truth: The annotated cells.
        folder: The cache of predictions.
        on_predict: Called for each unit that is predicted.
    """

    def __init__(
        self,
        predictors: Mapping[str, NetworkPredictor],
        card: ModelCard,
        units: Units,
        truth: Truth,
        folder: Path,
        on_predict: Callable[[str], None] | None = None,
    ) -> None:
        self.predictors, self.card, self.units, self.truth = predictors, card, units, truth
        self.folder, self._on_predict = folder, on_predict
        self._tuners: dict[float | None, tuple[HeldOutCache, Tuner]] = {}

    @property
    def start(self) -> Choice:
        """The unchanged settings of the model."""
        return Choice(self.card.prediction.diameter, self.card.operating_points)

    def cache(self, diameter: float | None) -> HeldOutCache:
        """Return the cached predictions for a diameter."""
        return self._at(diameter)[0]

    def tuner(self, diameter: float | None) -> Tuner:
        """Return a tuner on the predictions for a diameter."""
        return self._at(diameter)[1]

    def _at(self, diameter: float | None) -> tuple[HeldOutCache, Tuner]:
        if diameter not in self._tuners:
            name = "judged" if diameter is None else f"{diameter:.3f}"
            every = list({id(each): each for each in self.predictors.values()}.values())
            own = [
                SizedCache(each, self.units.data.source, self.folder / name / str(place), diameter)
                for place, each in enumerate(every)
            ]
            cache = HeldOutCache({
                image_id: own[every.index(each)] for image_id, each in self.predictors.items()
            })  # fmt: skip
            self._tuners[diameter] = cache, tuner_of(cache, self.truth, self.units.groups)
        return self._tuners[diameter]

    def as_predicted(self, image_id: str) -> Instances:
        """Predict the cells of a unit with the unchanged model."""
        found = self.cache(self.start.diameter).predicted(image_id)
        source, truth = self.units.data.source(image_id), self.truth.cells[image_id]
        cells = cells_as_predicted(source, found, self.card.operating_points, truth)
        return self.truth.counted(image_id, cells)

    def predict(self, image_id: str, choice: Choice) -> Instances:
        """Predict the cells of a unit with given settings."""
        if choice == self.start:
            return self.as_predicted(image_id)
        return self.tuner(choice.diameter).predict(image_id, choice.points)

    def choose(self, ids: Sequence[str]) -> Choice:
        """Choose settings that are clearly better on some units, else the unchanged ones."""
        diameter = self._size(ids)
        tuner = self.tuner(diameter)
        return Choice(diameter, tuned_points(tuner, ids, self.start.points, self.truth.is_typed))

    def _size(self, ids: Sequence[str]) -> float | None:
        """Return one diameter for all units if it is clearly better than the estimates."""
        now = self.start.diameter
        by_width = next(iter(self.predictors.values())).measures_width
        sizes = self.truth.sizes(ids, by_width=by_width)
        if not sizes or self.card.median_diameter is None:
            return now
        common = common_size(sizes)
        before, after = (self._start_scores(each, ids) for each in (now, common))
        gain = lower_confidence_bound(after - before, ids, self.units.groups)
        return common if gain > CLEAR_GAIN else now

    def _start_scores(self, diameter: float | None, ids: Sequence[str]) -> np.ndarray:
        for image_id in ids:
            if self._on_predict is not None:
                self._on_predict(image_id)
            self.cache(diameter).predict(image_id)
        return self.tuner(diameter).scores(ids, self.start.points.default)


def tuner_of(cache: PredictionCache, truth: Truth, groups: Mapping[str, str]) -> Tuner:
    """Create a tuner on units."""
    return Tuner(cache, truth.cells, truth.types, groups, ignored=truth.ignored)


def common_size(sizes: Sequence[float]) -> float:
    """Return the median size in pixels, rounded to a sixteenth of an octave."""
    octaves = np.round(STEPS_PER_OCTAVE * np.median(np.log2(sizes))) / STEPS_PER_OCTAVE
    return float(2.0**octaves)


def tuned_points(
    tuner: Tuner, ids: Sequence[str], start: OperatingPoints, is_typed: bool
) -> OperatingPoints:
    """Tune operating points on some units, for each type or for all types together."""
    if is_typed:
        found = tuner.tune(ids, start)
        same = found.by_type == start.by_type
        return start if same else found
    base = start.default
    point = tuner.search(tuple(ids), base)
    if point == base:
        return start
    return start.changed(default=point.model_dump(), by_type={}, tuned_on=tuple(ids))


def crossfitted_cells(chooser: Chooser, folds: Sequence[Sequence[str]]) -> dict[str, Instances]:
    """Predict the cells of every unit with settings that were chosen on the other folds."""
    found: dict[str, Instances] = {}
    for fold in folds:
        others = [each for other in folds if other is not fold for each in other]
        choice = chooser.choose(others)
        found |= {each: chooser.predict(each, choice) for each in fold}
    return {each: found[each] for each in chooser.units.sampled}

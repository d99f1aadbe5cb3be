"""Fit a model of the expected segmentation accuracy to annotated images.

Each data set has the weight of the square root of its number of images. The fit is evaluated on
complete data sets that it did not use, because the images of one set are similar.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.data.dataset import Dataset
from bigkingxxl.errors import InputError
from bigkingxxl.evaluation.competition_map import match_counts
from bigkingxxl.evaluation.partial_annotation import counted
from bigkingxxl.expected_quality import DIRECTIONS, ExpectedQuality, Term
from bigkingxxl.inference.domain.quality_features import quality_values
from bigkingxxl.inference.predictor import Predictor
from bigkingxxl.model_card import ModelCard
from bigkingxxl.runs.selection import Selection

Float64 = NDArray[np.float64]
FEWEST = 20  # images; fewer do not generalise
PULL = 0.3  # strength of the regularisation towards weights of 0, in images
POOR = 0.15  # a lower true accuracy should cause a warning
FALSE_ALARMS = 0.05  # the fraction of images above it that are warned about
LOWS = (0.05, 0.25)


@dataclass(frozen=True)
class Example:
    """An annotated image.

    Attributes:
        set_name: Its data set.
        image: Its id in the data set.
        values: The inputs of the quality model; see `quality_values`.
        true: Its segmentation accuracy.
    """

    set_name: str
    image: str
    values: Mapping[str, float]
    true: float


def examples_of(
    predictor: Predictor, card: ModelCard, name: str, data: Dataset, ids: Iterable[str]
) -> list[Example]:
    """Predict images of a data set like `bigkingxxl predict` and measure their accuracy.

    An image without any predicted cell gives no evidence and is left out.
    """
    found, selection = [], Selection(card.operating_points)
    for image_id in ids:
        source = data.source(image_id)
        candidates = predictor.candidates(source)
        cells, _ = selection.cells_of(source, candidates)
        if not len(cells):
            continue
        values = quality_values(candidates, cells)
        ignored = data.ignored(image_id)
        truth = counted(data.instances(image_id), ignored)
        score = match_counts(truth, counted(cells, ignored)).score
        found.append(Example(name, image_id, values, score))
    return found


def fit_quality(examples: Sequence[Example]) -> ExpectedQuality:
    """Fit the linear model by least squares.

    Weights with the wrong sign (`DIRECTIONS`) are not allowed, and inputs that do not help are
    removed.

    Raises:
        InputError: There are too few examples, or they do not differ.
    """
    if len(examples) < FEWEST:
        raise InputError(
            f"cells were found in {len(examples)} annotated images, expected {FEWEST} or more to "
            "learn what is to be expected of others",
            found=len(examples),
            expected=FEWEST,
        )
    weights, centre, spread = _solved(examples)
    base = float(weights[-1])
    terms = {
        name: Term(centre=_short(centre[k]), spread=_short(spread[k]), weight=_short(weights[k]))
        for k, name in enumerate(DIRECTIONS) if abs(weights[k]) > 1e-4
    }  # fmt: skip
    if not terms:
        raise InputError(
            "nothing in the predictions of these images predicts how well they are outlined"
        )
    sets = tuple(sorted({each.set_name for each in examples}))
    learnt = ExpectedQuality(terms=terms, base=_short(base), images=len(examples), sets=sets)
    expected = np.array([learnt.of(each.values) for each in examples])
    return learnt.changed(low=limit_of(expected, np.array([each.true for each in examples])))


def cross_fitted(examples: Sequence[Example]) -> Float64:
    """Predict the quality of each image by models of the other data sets, float64[N]."""
    expected = np.zeros(len(examples))
    for name in {each.set_name for each in examples}:
        learnt = fit_quality([each for each in examples if each.set_name != name])
        for place, each in enumerate(examples):
            if each.set_name == name:
                expected[place] = learnt.of(each.values)
    return expected


def limit_of(expected: Float64, true: Float64) -> float:
    """Return the warning limit: one in twenty images that are not poor lies below it."""
    good = expected[true >= POOR]
    limit = float(np.quantile(good, FALSE_ALARMS)) if len(good) else LOWS[1]
    return round(min(max(limit, LOWS[0]), LOWS[1]), 3)


def _solved(examples: Sequence[Example]) -> tuple[Float64, Float64, Float64]:
    """Return the weights per standard deviation (the base last), and the centres and spreads."""
    from scipy.optimize import lsq_linear

    names = list(DIRECTIONS)
    values = np.array([[each.values[name] for name in names] for each in examples])
    true = np.array([each.true for each in examples])
    _, of, count = np.unique(
        [each.set_name for each in examples], return_inverse=True, return_counts=True
    )
    share = np.sqrt(1 / np.sqrt(count[of]))
    centre, spread = values.mean(axis=0), np.maximum(values.std(axis=0), 1e-6)
    scaled = np.column_stack(((values - centre) / spread, np.ones(len(true))))
    pull = np.sqrt(PULL) * np.eye(len(names), len(names) + 1)
    signs = np.array(list(DIRECTIONS.values()))
    bounds = (np.append(np.where(signs > 0, 0, -np.inf), -np.inf),
              np.append(np.where(signs > 0, np.inf, 0), np.inf))  # fmt: skip
    found = lsq_linear(
        np.vstack((scaled * share[:, None], pull)),
        np.concatenate((true * share, np.zeros(len(names)))),
        bounds,
    )  # fmt: skip
    return found.x, centre, spread


def _short(value: float) -> float:
    """Round to six digits, which suffices for a file that people may read."""
    return float(f"{value:.6g}")

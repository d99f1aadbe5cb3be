"""Calibrate the scores of a model: fit a small network that predicts the IoU of candidates.

It is fitted to the training images of the model: there are many, and no image of a validation fold
is used. As long as the model has not memorised its training images, its errors on them resemble
those on other images.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from bigkingxxl.calibration import FURTHEST, Calibration, Layer, features
from bigkingxxl.candidates import Candidates
from bigkingxxl.cell_widths import typical_size
from bigkingxxl.data.dataset import Dataset
from bigkingxxl.data.groups import find_groups
from bigkingxxl.data.joined import JoinedDataset
from bigkingxxl.errors import InputError
from bigkingxxl.evaluation.partial_annotation import counted, counted_candidates
from bigkingxxl.evaluation.threshold_scorer import ThresholdScorer
from bigkingxxl.evaluation.tuning import changed_parameter
from bigkingxxl.inference.dense_predictor import DensePredictor
from bigkingxxl.inference.network_predictor import NetworkPredictor
from bigkingxxl.inference.stitching import SAME_CELL, half_height_masks
from bigkingxxl.instances import Instances
from bigkingxxl.model_card import ModelCard
from bigkingxxl.operating_points import OperatingPoints, SelectionParameters
from bigkingxxl.overlaps import iou_pairs

Float64 = NDArray[np.float64]
HIDDEN = (32, 32)
EPOCHS, BATCH, LEARNING_RATE = 80, 512, 2e-3
FEWEST = 500  # candidates; fewer do not generalise
HELD_OUT = 5  # one in this many groups of images is held out for evaluation
SCORE_THRESHOLDS = tuple(np.arange(0.2, 0.65, 0.05).round(2).tolist())


@dataclass(frozen=True, eq=False)
class Compared:
    """The candidates of one image, compared with its annotated cells.

    Attributes:
        candidates: The candidates with the scores of their method.
        truth: The annotated cells.
        iou: float64[N], the IoU of each candidate with its best annotated cell; 0 if a candidate
            with a higher score has that cell, because a duplicate is an error.
    """

    candidates: Candidates
    truth: Instances
    iou: Float64

    @classmethod
    def of(cls, candidates: Candidates, truth: Instances) -> Compared:
        """Compare candidates, thresholded at half of their own maximum, with annotated cells."""
        one, two, overlap = iou_pairs(half_height_masks(candidates), truth)
        rising = np.lexsort((overlap, one))
        iou, cell = np.zeros(len(candidates)), np.full(len(candidates), -1)
        iou[one[rising]], cell[one[rising]] = overlap[rising], two[rising]
        # The last value written to an index remains: the candidate with the highest score.
        fits = np.flatnonzero(overlap > SAME_CELL)
        fits = fits[np.lexsort((overlap[fits], candidates.score[one[fits]]))]
        owner = np.full(len(truth) + 1, -1)
        owner[two[fits]] = one[fits]
        owner = owner[cell]
        is_second = (owner >= 0) & (owner != np.arange(len(candidates)))
        is_second &= candidates.score <= candidates.score[owner]
        return cls(candidates, truth, np.where(is_second, 0.0, iou))


@dataclass(frozen=True)
class Calibrated:
    """The result of a calibration.

    Attributes:
        calibration: The calibration for the card of the model.
        score_threshold: The best score threshold on the images used for fitting.
        images: The number of these images.
        candidates: The number of their candidates.
        before: The correlation of the method's score with the IoU on held-out images; None if there
            are too few.
        after: The correlation of a calibrated score that was fitted to the other images.
    """

    calibration: Calibration
    score_threshold: float
    images: int
    candidates: int
    before: float | None
    after: float | None

    def as_dict(self) -> dict[str, Any]:
        """Return values for JSON; the calibration itself is in the model file."""
        return {
            "images": self.images,
            "candidates": self.candidates,
            "score_threshold": self.score_threshold,
            "correlation_before": self.before,
            "correlation_after": self.after,
        }


def compared(predictor: NetworkPredictor, data: Dataset, ids: Iterable[str]) -> dict[str, Compared]:
    """Compare all candidates of images with the annotated cells, regardless of their score.

    Areas that are not annotated are ignored. The predictor is changed: it does not estimate the
    size of cells and keeps the scores of its method. A predictor that would measure the cell size
    is given it, because errors of the size are not the subject of calibration.
    """
    predictor.calibration, predictor.estimate = None, False
    if isinstance(predictor, DensePredictor):
        predictor.points = with_decode(predictor.points, predictor.representation.unfiltered)
    found = {}
    for image_id in ids:
        ignored, source = data.ignored(image_id), data.source(image_id)
        truth = data.instances(image_id)
        if predictor.measures_size and len(truth):
            source.cell_diameter = typical_size(truth, by_width=predictor.measures_width)
        seen = counted_candidates(predictor.candidates(source), ignored)
        found[image_id] = Compared.of(seen, counted(truth, ignored))
    return found


def unfiltered_parameters(predictor: NetworkPredictor) -> Mapping[str, float]:
    """Return the decoding parameters with which only the score decides which cells are kept."""
    return predictor.representation.unfiltered if isinstance(predictor, DensePredictor) else {}


def calibrate(
    found: Mapping[str, Compared], data: Dataset, type_names: tuple[str, ...], seed: int = 0
) -> Calibrated:
    """Fit the expected IoU of candidates.

    Args:
        found: The compared candidates of each image.
        data: The data set.
        type_names: The cell types whose probabilities are used.
        seed: The random seed.

    Raises:
        InputError: There are too few candidates, or the fit does not generalise.
    """
    total = sum(len(each.iou) for each in found.values())
    if total < FEWEST:
        raise InputError(
            f"the model finds {total} cells in {len(found)} images, expected {FEWEST} or more for "
            "calibration: use more annotated images",
            found=total,
            expected=FEWEST,
        )
    before, after = held_out_correlation(found, data, type_names, seed)
    if before is not None and after is not None and after <= before:
        raise InputError(
            "on images that were held out, the calibrated scores do not predict the IoU better "
            f"than the scores of the model (correlation {after:.3f}, {before:.3f}): more "
            "annotated images are needed",
            found=after,
            expected=before,
        )
    learned = fit(tuple(found.values()), type_names, seed)
    return Calibrated(
        learned, best_threshold(tuple(found.values()), learned), len(found), total, before, after
    )


def fit(found: Sequence[Compared], type_names: tuple[str, ...], seed: int = 0) -> Calibration:
    """Fit a network that predicts the IoU of these images' candidates."""
    values = np.concatenate([features(each.candidates, type_names) for each in found])
    centre, spread = values.mean(axis=0), np.maximum(values.std(axis=0), 1e-3)
    draws = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = perceptron(values.shape[1])
    inputs = torch.from_numpy((values - centre) / spread).float().clamp(-FURTHEST, FURTHEST)
    wanted = torch.from_numpy(np.concatenate([each.iou for each in found])).float()
    steps = EPOCHS * -(-len(inputs) // BATCH)
    optimizer = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(EPOCHS):
        order = torch.randperm(len(inputs), generator=draws)
        for start in range(0, len(order), BATCH):
            batch = order[start : start + BATCH]
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(network(inputs[batch])[:, 0], wanted[batch])
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    linear = [layer for layer in network if isinstance(layer, nn.Linear)]
    return Calibration(
        type_names=type_names,
        centre=rounded(centre),
        spread=rounded(spread),
        layers=tuple(
            Layer(
                weights=tuple(rounded(row) for row in layer.weight.detach().numpy()),
                bias=rounded(layer.bias.detach().numpy()),
            )
            for layer in linear
        ),
    )


def perceptron(inputs: int) -> nn.Sequential:
    """Create linear layers with ReLU between them and a single output."""
    layers: list[nn.Module] = []
    for outputs in HIDDEN:
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
        inputs = outputs
    return nn.Sequential(*layers, nn.Linear(inputs, 1))


def rounded(values: NDArray[np.floating]) -> tuple[float, ...]:
    """Round to six digits, which suffices for a score in a file that people may read."""
    return tuple(float(f"{value:.6g}") for value in values)


def held_out_correlation(
    found: Mapping[str, Compared], data: Dataset, type_names: tuple[str, ...], seed: int
) -> tuple[float | None, float | None]:
    """Return the correlation of score and IoU on held-out images, before and after calibration."""
    group_of = groups_of(data, found)
    names = sorted(set(group_of.values()))
    away = set(np.random.default_rng(seed).permutation(names)[: len(names) // HELD_OUT].tolist())
    held = [each for image_id, each in found.items() if group_of[image_id] in away]
    rest = [each for image_id, each in found.items() if group_of[image_id] not in away]
    iou = np.concatenate([each.iou for each in held]) if held else np.zeros(0)
    if len(iou) < FEWEST // (2 * HELD_OUT) or iou.std() == 0:
        return None, None
    learned = fit(rest, type_names, seed)
    own = np.concatenate([each.candidates.score for each in held])
    new = np.concatenate([learned.scored(each.candidates).score for each in held])
    return correlation(own, iou), correlation(new, iou)


def groups_of(data: Dataset, ids: Iterable[str]) -> dict[str, str]:
    """Return the group of each image; for several data sets, the set or the group within it."""
    if not isinstance(data, JoinedDataset):
        known = find_groups(data).of
        return {image_id: known.get(image_id, image_id) for image_id in ids}
    groups: dict[str, str] = {}
    for name, part in data.parts.items():
        inside = find_groups(part).of if part.columns else dict.fromkeys(part.ids, "")
        groups |= {f"{name}/{own_id}": f"{name}/{group}" for own_id, group in inside.items()}
    return {image_id: groups[image_id] for image_id in ids}


def correlation(one: NDArray[np.floating], other: Float64) -> float | None:
    """Return Pearson's correlation, or None if a variable is constant."""
    return float(np.corrcoef(one, other)[0, 1]) if one.std() > 0 and other.std() > 0 else None


def best_threshold(found: Sequence[Compared], learned: Calibration) -> float:
    """Return the score threshold with the highest mean score; other parameters are the defaults."""
    parameters = SelectionParameters()
    tables = [
        ThresholdScorer.of_image(
            learned.scored(each.candidates), each.truth, parameters.mask_threshold
        )
        for each in found
    ]
    joined = ThresholdScorer.joined(tables)
    means = [
        joined.scores(parameters.changed(score_threshold=value)).mean()
        for value in SCORE_THRESHOLDS
    ]
    return float(SCORE_THRESHOLDS[int(np.argmax(means))])


def calibrated_card(
    card: ModelCard, result: Calibrated, unfiltered: Mapping[str, float]
) -> ModelCard:
    """Return the card with calibrated scores and without thresholds on the old ones.

    The expected quality, which was based on the old scores, is removed.
    """
    value = result.score_threshold
    points = with_decode(card.operating_points, unfiltered).each(
        lambda point: changed_parameter(point, "select", "score_threshold", value)
    )
    return card.changed(
        calibration=result.calibration.model_dump(), operating_points=points.model_dump(),
        quality=None,
    )  # fmt: skip


def with_decode(points: OperatingPoints, parameters: Mapping[str, float]) -> OperatingPoints:
    """Set decoding parameters of every type."""
    return points.each(lambda point: point.changed(decode={**point.decode, **parameters}))

"""Scores compared with true cells, and a small network that learns what they are worth.

It learns from the images that the model itself was trained on: those are many, nothing of a
validation fold is used, and as long as the model does not know its training images by heart its
mistakes there are those that it makes elsewhere.
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
from bigkingxxl.data.dataset import Dataset
from bigkingxxl.data.groups import find_groups
from bigkingxxl.data.joined import JoinedDataset
from bigkingxxl.errors import InputError
from bigkingxxl.evaluation.partial import counted, counted_candidates
from bigkingxxl.evaluation.threshold_scorer import ThresholdScorer
from bigkingxxl.evaluation.tuning import changed_parameter
from bigkingxxl.inference.dense import DensePredictor
from bigkingxxl.inference.network import NetworkPredictor
from bigkingxxl.inference.stitching import SAME_CELL, half_height_masks
from bigkingxxl.instances import Instances
from bigkingxxl.models import ModelCard
from bigkingxxl.operating_points import OperatingPoints, SelectionParameters
from bigkingxxl.overlaps import iou_pairs
from bigkingxxl.widths import typical_size

Float64 = NDArray[np.float64]
HIDDEN = (32, 32)
EPOCHS, BATCH, LEARNING_RATE = 80, 512, 2e-3
FEWEST = 500  # candidates; below it nothing is learned that holds elsewhere
HELD_OUT = 5  # one group of images in so many shows how well the rest foretells it
SCORE_THRESHOLDS = tuple(np.arange(0.2, 0.65, 0.05).round(2).tolist())


@dataclass(frozen=True, eq=False)
class Compared:
    """The candidates of one image beside its true cells.

    Attributes:
        candidates: under the scores of their method; truth: annotated cells.
        iou: float64[N], of each candidate with the true cell that it fits best; 0 where a surer
            candidate has that cell, as what is found twice is wrong once.
    """

    candidates: Candidates
    truth: Instances
    iou: Float64

    @classmethod
    def of(cls, candidates: Candidates, truth: Instances) -> Compared:
        """Masks above half of their own highest probability are compared."""
        one, two, overlap = iou_pairs(half_height_masks(candidates), truth)
        rising = np.lexsort((overlap, one))
        iou, cell = np.zeros(len(candidates)), np.full(len(candidates), -1)
        iou[one[rising]], cell[one[rising]] = overlap[rising], two[rising]
        # The last of what is written to one place stays: the surest that fits the cell has it.
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
    """What was learned.

    Attributes:
        calibration: for the model's card; score_threshold: best on the images it learned from.
        images, candidates: how many they were.
        before, after: correlation of score and IoU on images held out, by the method's own score
            and by one that was learned on the others; None where they are too few.
    """

    calibration: Calibration
    score_threshold: float
    images: int
    candidates: int
    before: float | None
    after: float | None

    def as_dict(self) -> dict[str, Any]:
        """For JSON; the network itself is in the model file."""
        return {
            "images": self.images,
            "candidates": self.candidates,
            "score_threshold": self.score_threshold,
            "correlation_before": self.before,
            "correlation_after": self.after,
        }


def compared(predictor: NetworkPredictor, data: Dataset, ids: Iterable[str]) -> dict[str, Compared]:
    """Every candidate of images beside the true cells, nothing dropped by its method's score.

    Where an image is not annotated neither counts.

    The predictor is changed: it estimates no size and keeps the scores of its method. One that
    would measure how large the cells are is told so, as its mistakes there are no matter of scores.
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
    """The decoding parameters that leave it to the score which cells are kept."""
    return predictor.representation.unfiltered if isinstance(predictor, DensePredictor) else {}


def calibrate(
    found: Mapping[str, Compared], data: Dataset, type_names: tuple[str, ...], seed: int = 0
) -> Calibrated:
    """Learn the expected IoU of candidates.

    Args:
        type_names: the cell types whose probabilities tell something.
    Raises:
        InputError: too few candidates to learn from, or what is learned does not hold elsewhere.
    """
    total = sum(len(each.iou) for each in found.values())
    if total < FEWEST:
        raise InputError(
            f"the model finds {total} cells in {len(found)} images, expected {FEWEST} or more to "
            "learn from: name more annotated images",
            found=total,
            expected=FEWEST,
        )
    before, after = foretold(found, data, type_names, seed)
    if before is not None and after is not None and after <= before:
        raise InputError(
            f"on images held out the learned scores tell no more of the fit than the model's own "
            f"(correlation {after:.3f}, {before:.3f}): more annotated images are needed",
            found=after,
            expected=before,
        )
    learned = fit(tuple(found.values()), type_names, seed)
    return Calibrated(
        learned, best_threshold(tuple(found.values()), learned), len(found), total, before, after
    )


def fit(found: Sequence[Compared], type_names: tuple[str, ...], seed: int = 0) -> Calibration:
    """The network that foretells the IoU of these images' candidates."""
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
    """Linear layers with rectified outputs between them, the last with one output."""
    layers: list[nn.Module] = []
    for outputs in HIDDEN:
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
        inputs = outputs
    return nn.Sequential(*layers, nn.Linear(inputs, 1))


def rounded(values: NDArray[np.floating]) -> tuple[float, ...]:
    """Six digits: as much as a score needs, in a file that people may read."""
    return tuple(float(f"{value:.6g}") for value in values)


def foretold(
    found: Mapping[str, Compared], data: Dataset, type_names: tuple[str, ...], seed: int
) -> tuple[float | None, float | None]:
    """Correlation of score and IoU on images held out, before and after; None: too few images."""
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
    """The group of each image: of several data sets, the set or the group within it."""
    if not isinstance(data, JoinedDataset):
        known = find_groups(data).of
        return {image_id: known.get(image_id, image_id) for image_id in ids}
    groups: dict[str, str] = {}
    for name, part in data.parts.items():
        inside = find_groups(part).of if part.columns else dict.fromkeys(part.ids, "")
        groups |= {f"{name}/{own_id}": f"{name}/{group}" for own_id, group in inside.items()}
    return {image_id: groups[image_id] for image_id in ids}


def correlation(one: NDArray[np.floating], other: Float64) -> float | None:
    """Pearson's, or None where one of them does not vary."""
    return float(np.corrcoef(one, other)[0, 1]) if one.std() > 0 and other.std() > 0 else None


def best_threshold(found: Sequence[Compared], learned: Calibration) -> float:
    """The score threshold with the highest mean score over the images; the rest by default."""
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
    """The card of the model under its new scores; parameters that the old ones needed are opened.

    What the old ones told of an image's quality is forgotten.
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
    """Operating points with some decoding parameters set for every type."""
    return points.each(lambda point: point.changed(decode={**point.decode, **parameters}))

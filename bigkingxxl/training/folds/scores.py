"""Out-of-fold scores: each image is scored with a model that was not trained on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import Any

from bigkingxxl.data.dataset import Dataset
from bigkingxxl.evaluation.bootstrap import Interval
from bigkingxxl.evaluation.evaluation import Evaluation, evaluate_predictions
from bigkingxxl.evaluation.predictions import Predictions, read_predictions
from bigkingxxl.evaluation.truth import Truth, truth_of
from bigkingxxl.training.folds.plan import Plan

METRICS = ("f1@0.5", "pq")
ALL = "all"


@dataclass(frozen=True)
class Score:
    """A value with its 95 % interval over groups of images; None if it is unknown."""

    value: float | None
    interval: Interval | None = None


@dataclass(frozen=True)
class FoldScores:
    """The scores of some images, each predicted by a model that was not trained on it.

    Attributes:
        name: The fold, 'all' for all folds, or another subset.
        images: The number of images.
        cells: The number of annotated cells.
        scores: The scores by name.
    """

    name: str
    images: int
    cells: int
    scores: dict[str, Score]

    def as_dict(self) -> dict[str, Any]:
        """Return values for JSON."""
        scores = {
            name: {"value": each.value, "interval_95": each.interval}
            for name, each in self.scores.items()
        }
        return {"name": self.name, "images": self.images, "cells": self.cells, "scores": scores}


def score_folds(
    plan: Plan, folds: Sequence[int], data: Dataset, run: Path, chose: Sequence[str] = ()
) -> list[FoldScores]:
    """Score each fold, all images, and the images that did not choose a checkpoint.

    Args:
        plan: The folds.
        folds: The predicted folds.
        data: The data set.
        run: The out-of-fold results.
        chose: The images that chose the checkpoint of their fold's model, so that their score is
            too high.
    """
    truth = truth_of(data)
    found = read_predictions(run, truth)
    rows = [
        _scores(f"{fold}", plan.validation[fold], plan, truth, found) for fold in folds
    ]  # fmt: skip
    every = [image_id for fold in folds for image_id in plan.validation[fold]]
    rows.append(_scores(ALL, every, plan, truth, found))
    untouched = [image_id for image_id in every if image_id not in set(chose)]
    if 0 < len(untouched) < len(every):
        rows.append(_scores("chose no epoch", untouched, plan, truth, found))
    return rows


def _scores(
    name: str, ids: Sequence[str], plan: Plan, truth: Truth, found: Predictions
) -> FoldScores:
    result = evaluate_predictions(truth, found, ids, plan.groups, METRICS)
    cells = sum(len(pair.truth) for pair in result.pairs.values())
    return FoldScores(name, len(ids), cells, _numbers(result))


def _numbers(result: Evaluation) -> dict[str, Score]:
    competition = result.competition
    scores = {"mAP": Score(competition.mean, _known(competition.interval))}
    if competition.challenge_mix is not None:
        interval = _known(competition.challenge_mix_interval)
        scores["challenge-mix mAP"] = Score(competition.challenge_mix, interval)
    for estimate in result.scores.estimates:
        if estimate.what.key in METRICS:
            scores[estimate.what.name] = Score(estimate.value, estimate.interval)
    return scores


def _known(interval: Interval | None) -> Interval | None:
    return None if interval is None or isnan(interval[0]) else interval

"""The phases after a training: weight averaging, calibration, quality and export.

Each phase depends only on existing files, so that an interrupted run resumes there.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from bigkingxxl.data.dataset import Dataset
from bigkingxxl.data.joined import JoinedDataset
from bigkingxxl.data.progress_reports import Track, untracked
from bigkingxxl.errors import InputError
from bigkingxxl.evaluation.quality_fit import examples_of, fit_quality
from bigkingxxl.inference.load_model import load_predictor
from bigkingxxl.methods.base import Method
from bigkingxxl.model_files import write_card
from bigkingxxl.training.calibrate import (
    calibrate,
    calibrated_card,
    compared,
    unfiltered_parameters,
)
from bigkingxxl.training.even_sampling import evenly_by_kind, label
from bigkingxxl.training.int8_quantisation import try_int8
from bigkingxxl.training.recipe import FinishSettings
from bigkingxxl.training.starting_model import Start, take_weights

log = logging.getLogger(__name__)

EXPORTED = "model.onnx"


def mean_with_start(
    weights: Mapping[str, Tensor], method: Method, start: Start, share: float
) -> dict[str, Tensor]:
    """Interpolate between the weights of the start and the trained ones.

    This recovers a part of what the start knew and training forgot.

    Args:
        weights: The trained weights.
        method: The method.
        start: The starting model.
        share: The weight of the start.

    Source: Wortsman et al. 2022, "Robust fine-tuning of zero-shot models".
    """
    network = method.build()
    # A map that the start lacks keeps its trained weights, because initial ones are noise.
    network.load_state_dict(dict(weights))
    take_weights(network, method, start)
    before = network.state_dict()
    return {
        name: torch.lerp(tensor.float(), before[name].float(), share).to(tensor.dtype)
        if tensor.is_floating_point() else tensor
        for name, tensor in weights.items()
    }  # fmt: skip


def finish_model(
    model: Path,
    settings: FinishSettings,
    data: Dataset,
    training: tuple[str, ...],
    device: str,
    track: Track = untracked,
) -> None:
    """Calibrate a model on training images and export it, as the settings ask.

    In between, the model of the expected quality is fitted to calibrated scores.
    """
    if settings.calibrate_images:
        ids = _spread(data, training, settings.calibrate_images)
        _calibrate(model, data, track(ids, len(ids), "calibrating"), device)
    if settings.quality_images:
        ids = _spread(data, training, settings.quality_images)
        _learn_quality(model, data, track(ids, len(ids), "fitting the expected quality"), device)
    if settings.export:
        from bigkingxxl.training.export import export

        exported = model.with_name(EXPORTED)
        export(model, exported, half=True)
        if settings.int8_images:
            ids = _spread(data, training, settings.int8_images)
            shown = track(ids, len(ids), "measuring the range of values")
            try_int8(exported, (data.source(image_id) for image_id in shown))


def _calibrate(model: Path, data: Dataset, ids: Iterable[str], device: str) -> None:
    predictor, card = load_predictor(model, device)
    if card.calibration is not None:
        return
    try:
        result = calibrate(compared(predictor, data, ids), data, card.type_names)
    except InputError as reason:
        log.warning("the scores are not calibrated: %s", reason)
        return
    write_card(model, calibrated_card(card, result, unfiltered_parameters(predictor)))


def _learn_quality(model: Path, data: Dataset, ids: Iterable[str], device: str) -> None:
    predictor, card = load_predictor(model, device)
    if card.quality is not None:
        return
    sets: dict[str, list[str]] = {}
    for image_id in ids:
        name = data.set_of(image_id) if isinstance(data, JoinedDataset) else ""
        sets.setdefault(name, []).append(image_id)
    try:
        learnt = fit_quality([
            example for name, own in sets.items()
            for example in examples_of(predictor, card, name, data, own)
        ])  # fmt: skip
    except InputError as reason:
        log.warning("no quality is expected of images: %s", reason)
        return
    write_card(model, card.changed(quality=learnt.model_dump()))


def _spread(data: Dataset, ids: tuple[str, ...], count: int) -> tuple[str, ...]:
    """Up to so many images, evenly over data sets and cell types."""
    return evenly_by_kind({image_id: label(data, image_id) for image_id in ids}, count)

"""A training run from data to a model file: fold, trainer, checkpoints, resume, finish."""

from __future__ import annotations

import logging
import math
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import (
    Callback,
    EarlyStopping,
    ModelCheckpoint,
    TQDMProgressBar,
    WeightAveraging,
)
from lightning.pytorch.loggers import TensorBoardLogger
from torch.utils.data import DataLoader

from bigkingxxl.data.dataset import Dataset, fingerprint
from bigkingxxl.data.split import fold_ids
from bigkingxxl.errors import InputError
from bigkingxxl.inference.load import choose_device
from bigkingxxl.methods.registry import make_method
from bigkingxxl.models import ModelCard, load_model, save_model
from bigkingxxl.runs import make_folder, provenance, write_json
from bigkingxxl.training.crops import CropDataset, crop_loader
from bigkingxxl.training.module import TrainingModule
from bigkingxxl.training.recipe import Recipe

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingResult:
    """What a run left behind.

    Attributes:
        model: the model file; best_map: the best validation mAP (in-sample: it chose the epoch).
        epochs: how many were trained; minutes: of training.
    """

    model: Path
    best_map: float
    epochs: int
    minutes: float


def train(
    recipe: Recipe,
    data: Dataset,
    out: Path,
    *,
    fold: int = 0,
    folds_file: Path | None = None,
    device: str = "auto",
    resume: bool = False,
    initial: Path | None = None,
    quiet: bool = False,
) -> TrainingResult:
    """Train a model and write it to `out`/model.safetensors.

    Args:
        folds_file: the split, if it is not the data set's own.
        fold: validation fold; -1 trains on every image and validates on some of them (in-sample).
        resume: go on from `out`/checkpoints/last.ckpt, losing at most the epoch that was broken.
        initial: a model file whose weights training starts from.
    Raises:
        InputError: no annotated cells, a run folder in use, nothing to resume.
    """
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    last = out / "checkpoints" / "last.ckpt"
    check_folder(out, last, resume)
    make_folder(out)
    L.seed_everything(recipe.seed, verbose=False)
    training_ids, validation_ids = choose_ids(data, fold, folds_file)
    method = make_method(recipe.method, recipe.settings, data.type_names)
    shown = spread(validation_ids, data, recipe.training.validation_images)
    card = make_card(recipe, data, training_ids, shown)
    module = TrainingModule(method, recipe, card, data, shown)
    if initial is not None:
        start_from(module, initial)
    write_run(out, recipe, data, fold, training_ids, validation_ids)
    trainer = make_trainer(recipe, out, choose_device(device), quiet)
    crops = crop_loader(CropDataset(data, training_ids, method, recipe))
    ids: DataLoader[Any] = DataLoader(list(shown), batch_size=None)  # type: ignore[arg-type]
    # Lightning checkpoints hold optimizer states; they are this run's own files and never shared.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, module="lightning")
        warnings.filterwarnings("ignore", message=".*(worker|LeafSpec|lr_scheduler).*")
        trainer.fit(module, crops, ids, ckpt_path=str(last) if resume else None,
                    weights_only=False if resume else None)  # fmt: skip
    return finish(module, trainer, out, shown)


def check_folder(out: Path, last: Path, resume: bool) -> None:
    """Refuse to train over another run, or to resume where there is nothing."""
    if resume and not last.is_file():
        raise InputError(f"{out}: nothing to resume, there is no checkpoints/last.ckpt")
    if not resume and (last.exists() or (out / "model.safetensors").exists()):
        raise InputError(f"{out} holds a run already: add --resume, or choose another --out")


def choose_ids(
    data: Dataset, fold: int, folds_file: Path | None = None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Training and validation images; fold -1 is all images for both."""
    if fold == -1:
        training_ids = validation_ids = data.ids
    else:
        training_ids, validation_ids = fold_ids(data, fold, folds_file=folds_file)
    if not any(len(data.instances(image_id)) for image_id in training_ids):
        raise InputError(f"{data.root}: the images to train on have no annotated cells")
    return tuple(training_ids), tuple(validation_ids)


def make_card(
    recipe: Recipe, data: Dataset, training_ids: Sequence[str], selection_ids: Sequence[str]
) -> ModelCard:
    """The card of the model that a run is going to make."""
    areas = np.concatenate([data.instances(image_id).areas() for image_id in training_ids])
    source = data.source(training_ids[0])
    return ModelCard(
        method=recipe.method,
        settings=make_method(recipe.method, recipe.settings, data.type_names).settings.model_dump(),
        type_names=data.type_names,
        image_channels=source.channels,
        normalisation=recipe.normalisation,
        prediction=recipe.prediction,
        operating_points=recipe.operating_points,
        pixel_size_um=source.pixel_size_um,
        median_diameter=2 * math.sqrt(float(np.median(areas)) / math.pi),
        trained_on=tuple(training_ids),
        selected_on=tuple(selection_ids),
        provenance={**provenance(recipe.seed), "data": fingerprint(data)},
    )


def spread(ids: Sequence[str], data: Dataset, count: int) -> tuple[str, ...]:
    """Up to `count` ids, with the cell types as evenly represented as the data allows."""
    by_type: dict[str | None, list[str]] = {}
    for image_id in ids:
        by_type.setdefault(data.cell_type(image_id), []).append(image_id)
    chosen: list[str] = []
    queues = [list(group) for _, group in sorted(by_type.items(), key=lambda item: str(item[0]))]
    while queues and len(chosen) < count:
        chosen += [queue.pop(0) for queue in queues]
        queues = [queue for queue in queues if queue]
    return tuple(chosen[:count])


def start_from(module: TrainingModule, initial: Path) -> None:
    """Take the weights that fit from a model; a head of other types stays fresh."""
    weights = load_model(initial).network.state_dict()
    own = module.network.state_dict()
    fitting = {
        name: tensor for name, tensor in weights.items()
        if name in own and own[name].shape == tensor.shape
    }  # fmt: skip
    if not fitting:
        raise InputError(f"{initial}: none of its weights fit the method '{module.card.method}'")
    module.network.load_state_dict({**own, **fitting})
    log.warning("%s: %d of %d tensors taken", initial, len(fitting), len(own))


def write_run(
    out: Path, recipe: Recipe, data: Dataset, fold: int,
    training_ids: Sequence[str], validation_ids: Sequence[str],
) -> None:  # fmt: skip
    """Write what decides the run beside it."""
    write_json(out / "recipe.json", recipe.model_dump())
    write_json(out / "run.json", {
        **provenance(recipe.seed), "data": str(data.root), "data_fingerprint": fingerprint(data),
        "fold": fold, "trained_on": list(training_ids), "validated_on": list(validation_ids),
    })  # fmt: skip


def make_trainer(recipe: Recipe, out: Path, device: str, quiet: bool) -> L.Trainer:
    """The Lightning trainer with checkpoints, early stopping and weight averaging."""
    training, folder = recipe.training, out / "checkpoints"
    callbacks: list[Callback] = [
        ModelCheckpoint(folder, "best", monitor="val/map", mode="max",
                        enable_version_counter=False),
        # `save_last` would skip the epochs that are not the best, and a resume would lose them.
        ModelCheckpoint(folder, "last", enable_version_counter=False),
        EarlyStopping("val/map", mode="max", patience=training.patience),
    ]  # fmt: skip
    if training.averaging > 0:
        callbacks.append(WeightAveraging(avg_fn=warm_average(training.averaging)))
    if not quiet:
        terminal = sys.stderr.isatty()
        callbacks.append(TQDMProgressBar(refresh_rate=10) if terminal else EpochLines())
    return L.Trainer(
        accelerator="gpu" if device == "cuda" else device,
        devices=1,
        precision="bf16-mixed" if training.precision == "bf16" and device != "mps" else "32-true",
        max_epochs=training.epochs,
        gradient_clip_val=training.clip_norm,
        callbacks=callbacks,
        logger=TensorBoardLogger(out, name="lightning_logs"),
        log_every_n_steps=min(10, -(-training.crops_per_epoch // training.batch_size)),
        num_sanity_val_steps=0,
        enable_progress_bar=not quiet and sys.stderr.isatty(),
        enable_model_summary=False,
    )


class EpochLines(Callback):
    """One line an epoch, where stderr is no terminal and a bar would fill a log."""

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Say how far the training is, its score and how long still."""
        module: Any = pl_module
        minutes, done = module.seconds() / 60, module.progress(trainer.global_step)
        rest = minutes * (1 - done) / max(done, 1e-3)
        score = float(trainer.callback_metrics["val/map"])
        print(
            f"epoch {trainer.current_epoch + 1}: validation mAP {score:.3f}, "
            f"{minutes:.1f} minutes, at most {rest:.1f} left",
            file=sys.stderr,
            flush=True,
        )


def warm_average(decay: float) -> Any:
    """A moving average that forgets fast at first, so that early epochs are not judged by noise."""

    def average(averaged: torch.Tensor, current: torch.Tensor, count: Any) -> torch.Tensor:
        if not averaged.is_floating_point():
            return current
        kept = min(decay, (1 + float(count)) / (10 + float(count)))
        return averaged.lerp(current, 1 - kept)

    return average


def finish(
    module: TrainingModule, trainer: L.Trainer, out: Path, shown: Sequence[str]
) -> TrainingResult:
    """Turn the best checkpoint into the model file."""
    best: Any = trainer.checkpoint_callback
    state = torch.load(best.best_model_path, map_location="cpu", weights_only=False)
    weights = {
        name.removeprefix("network."): tensor for name, tensor in state["state_dict"].items()
    }
    score = float(best.best_model_score)
    minutes = module.seconds() / 60
    scores = {"validation_map_in_sample": score, "validation_images": len(shown),
              "minutes": minutes, "epochs": trainer.current_epoch}  # fmt: skip
    save_model(out / "model.safetensors", module.card.changed(scores=scores), weights)
    return TrainingResult(out / "model.safetensors", score, trainer.current_epoch, minutes)

"""The Lightning trainer of a run: checkpoints, early stopping, weight averaging, progress."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import (
    Callback,
    TQDMProgressBar,
    WeightAveraging,
)
from lightning.pytorch.loggers import TensorBoardLogger

from bigkingxxl.training.checkpoints import Checkpoints, WholeFiles
from bigkingxxl.training.devices import ALONE, Devices
from bigkingxxl.training.interrupt import StopRequest
from bigkingxxl.training.recipe import Recipe


def make_trainer(
    recipe: Recipe, out: Path, device: str, quiet: bool, chooses: bool, stop: StopRequest,
    more: Sequence[Callback] = (),
    devices: Devices = ALONE,
) -> L.Trainer:  # fmt: skip
    """Create the trainer of a run folder.

    Args:
        recipe: The recipe.
        out: The run folder.
        device: The device.
        quiet: Whether to show no progress.
        chooses: Whether the validation score selects the best checkpoint and stops the training;
            otherwise only the last checkpoint is kept.
        stop: Whether a signal asked for the end.
        more: Additional callbacks, which run first so that the averages include their changes.
        devices: The devices of the training.
    """
    training = recipe.training
    patience = training.patience if chooses else None
    callbacks: list[Callback] = [*more]
    callbacks += [Checkpoints(out, training.checkpoint_minutes, patience, stop)]
    if training.averaging > 0:
        callbacks.append(WeightAveraging(avg_fn=warm_average(training.averaging)))
    quiet = quiet or devices.rank > 0
    options = devices.trainer_options(device)
    shows_bar = not quiet and sys.stderr.isatty()
    if not quiet:
        callbacks.append(TimeLeftBar(refresh_rate=10) if shows_bar else EpochLines())
    return L.Trainer(
        accelerator="gpu" if device == "cuda" else device,
        precision="bf16-mixed" if training.precision == "bf16" and device != "mps" else "32-true",
        max_epochs=training.epochs,
        # A module with manual optimization clips gradients itself.
        gradient_clip_val=training.clip_norm if recipe.adversarial is None else None,
        callbacks=callbacks,
        plugins=[WholeFiles(), *options.pop("plugins")],
        logger=TensorBoardLogger(out, name="lightning_logs"),
        log_every_n_steps=min(10, -(-training.crops_per_epoch // training.batch_size)),
        num_sanity_val_steps=0,
        enable_progress_bar=shows_bar,
        enable_model_summary=False,
        **options,
    )


SECONDS_PER_LINE = 60


class TimeLeftBar(TQDMProgressBar):
    """A progress bar per epoch that also shows the time left for the whole training."""

    def get_metrics(self, trainer: L.Trainer, pl_module: L.LightningModule) -> dict[str, Any]:
        """Return the values shown behind the bar."""
        module: Any = pl_module
        metrics: dict[str, Any] = dict(super().get_metrics(trainer, pl_module))
        metrics.pop("v_num", None)
        return {**metrics, "minutes_left": f"{module.minutes_left():.1f}"}


class EpochLines(Callback):
    """Prints a line per minute and per epoch where stderr is a log, which a bar would fill."""

    def __init__(self) -> None:
        self.printed_at = 0.0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Print where a resumed run continues."""
        self.printed_at = time.monotonic()
        if trainer.global_step > 0:
            loop = trainer.fit_loop.epoch_loop
            print(
                f"continuing in epoch {trainer.current_epoch + 1}, after "
                f"{loop.batch_progress.current.ready} of {trainer.num_training_batches} batches",
                file=sys.stderr,
                flush=True,
            )

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any,
        batch_idx: int,
    ) -> None:  # fmt: skip
        """Print the position in the epoch and the time left, once per minute."""
        if time.monotonic() - self.printed_at < SECONDS_PER_LINE:
            return
        self.printed_at = time.monotonic()
        module: Any = pl_module
        print(
            f"epoch {trainer.current_epoch + 1} of {trainer.max_epochs}: "
            f"{batch_idx + 1} of {trainer.num_training_batches} batches, "
            f"{module.seconds() / 60:.1f} minutes, "
            f"at most {module.minutes_left():.1f} left",
            file=sys.stderr,
            flush=True,
        )

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Print the progress, the loss, the score and the time left."""
        module: Any = pl_module
        print(
            f"epoch {trainer.current_epoch + 1}: loss {float(module.losses):.4g}, "
            f"mAP {module.score:.3f} on {len(module.validation_ids)} images, "
            f"{module.seconds() / 60:.1f} minutes, "
            f"at most {module.minutes_left():.1f} left",
            file=sys.stderr,
            flush=True,
        )


def warm_average(decay: float) -> Any:
    """Return a moving average with a decay that starts low, so that early weights fade quickly."""

    def average(averaged: torch.Tensor, current: torch.Tensor, count: Any) -> torch.Tensor:
        if not averaged.is_floating_point():
            return current
        kept = min(decay, (1 + float(count)) / (10 + float(count)))
        return averaged.lerp(current, 1 - kept)

    return average

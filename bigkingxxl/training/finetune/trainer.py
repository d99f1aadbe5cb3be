"""The trainings of the second stage."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback

from bigkingxxl.data.base import Dataset
from bigkingxxl.data.label_policy import apply_policy
from bigkingxxl.files import whole_file
from bigkingxxl.inference.load_model import load_predictor
from bigkingxxl.inference.network_predictor import NetworkPredictor
from bigkingxxl.instances import Instances
from bigkingxxl.model_card import ModelCard
from bigkingxxl.model_files import read_card, write_card
from bigkingxxl.training.recipe import Recipe
from bigkingxxl.training.run import train
from bigkingxxl.training.run_folder import last_checkpoint

Watch = Callable[[float, float], None]
VARIED_FOLDER = "varied"


class Watcher(Callback):
    """Reports the progress of a training, from 0 to 1, and the minutes left after each step."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any,
        batch_idx: int,
    ) -> None:  # fmt: skip
        """Report the progress."""
        module: Any = pl_module
        self.watch(module.progress(trainer.global_step), module.minutes_left())


@dataclass(frozen=True)
class Trainer:
    """Trains models from the same start on different images.

    Attributes:
        recipe: The recipe of each training.
        start: The card of the starting model.
        device: The device.
    """

    recipe: Recipe
    start: ModelCard
    device: str

    def train(
        self, data: Dataset, ids: Sequence[str], folder: Path, minutes: float, watch: Watch
    ) -> Path:
        """Train on some images and return the model file; an existing one is reused.

        Args:
            data: The data set.
            ids: The images.
            folder: The run folder.
            minutes: The limit of CPU time.
            watch: Called with the progress.
        """
        model = folder / "model.safetensors"
        if not model.is_file():
            # A copy instead of `changed`: settings that the recipe leaves open must follow the
            # start.
            training = self.recipe.training.changed(
                max_cpu_minutes=minutes, label_policy="as_annotated"
            )
            recipe = self.recipe.model_copy(update={"training": training, "finetune": None})
            part = replace(
                data, ids=tuple(ids),
                read_instances=partial(
                    _mended, data.read_instances, self.recipe.training.label_policy
                ),
            )  # fmt: skip
            train(
                recipe, part, folder, fold=-1, device=self.device, quiet=True,
                resume=last_checkpoint(folder).is_file(), callbacks=[Watcher(watch)],
                checked=True,
            )  # fmt: skip
        card = read_card(model)
        # With the calibration of the start its scores keep their meaning better than without any.
        write_card(model, card.changed(calibration=self._calibration(card)))
        return model

    def _calibration(self, card: ModelCard) -> Any:
        known = self.start.calibration
        return None if known is None or card.method != self.start.method else known.model_dump()

    def predictor(self, model: Path) -> tuple[NetworkPredictor, ModelCard]:
        """Load a trained model as a predictor."""
        return load_predictor(model, self.device)


def share_simulated(before: Path, folder: Path) -> None:
    """Reuse the simulated images of an earlier training, which would be the same."""
    made = before / VARIED_FOLDER
    if made.is_dir() and not (folder / VARIED_FOLDER).exists():
        with whole_file(folder / VARIED_FOLDER) as temporary:
            shutil.copytree(made, temporary)


def _mended(read: Callable[[str], Instances], policy: Any, image_id: str) -> Instances:
    return apply_policy(read(image_id), policy)

"""The second stage: trainings without the images that are kept back, and one on all of them."""

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
from bigkingxxl.inference.load import load_predictor
from bigkingxxl.inference.network import NetworkPredictor
from bigkingxxl.instances import Instances
from bigkingxxl.models import ModelCard, read_card, write_card
from bigkingxxl.training.recipe import Recipe
from bigkingxxl.training.run import train
from bigkingxxl.training.run_folder import last_checkpoint

Watch = Callable[[float, float], None]
VARIED_FOLDER = "varied"


class Watcher(Callback):
    """Says after each step how far a training is, from 0 to 1, and how many minutes are left."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any,
        batch_idx: int,
    ) -> None:  # fmt: skip
        """Say it."""
        module: Any = pl_module
        self.watch(module.progress(trainer.global_step), module.minutes_left())


@dataclass(frozen=True)
class Trainer:
    """Trains models that start from the same one, each on some of the images.

    Attributes:
        recipe: of each; start: the card of the model they start from.
        device: as for every training.
    """

    recipe: Recipe
    start: ModelCard
    device: str

    def train(
        self, data: Dataset, ids: Sequence[str], folder: Path, minutes: float, watch: Watch
    ) -> Path:
        """The model file of a training on some images; one that is there already is not made again.

        Args:
            minutes: of CPU time that it may take.
        """
        model = folder / "model.safetensors"
        if not model.is_file():
            # A copy, not `changed`: what the recipe leaves open is to be taken from the start.
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
            )  # fmt: skip
        card = read_card(model)
        # Its scores mean what those of the start meant, better than raw ones would.
        write_card(model, card.changed(calibration=self._calibration(card)))
        return model

    def _calibration(self, card: ModelCard) -> Any:
        known = self.start.calibration
        return None if known is None or card.method != self.start.method else known.model_dump()

    def predictor(self, model: Path) -> tuple[NetworkPredictor, ModelCard]:
        """A trained model at work."""
        return load_predictor(model, self.device)


def share_simulated(before: Path, folder: Path) -> None:
    """Give a training the simulated images of one before: they would be the same ones."""
    made = before / VARIED_FOLDER
    if made.is_dir() and not (folder / VARIED_FOLDER).exists():
        shutil.copytree(made, folder / VARIED_FOLDER)


def _mended(read: Callable[[str], Instances], policy: Any, image_id: str) -> Instances:
    return apply_policy(read(image_id), policy)

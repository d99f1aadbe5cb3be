"""The Lightning module that trains any method: losses, schedule, validation on the real metric."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import lightning as L
import numpy as np
import torch
from torch import Tensor, nn

from bigkingxxl.data.dataset import Dataset
from bigkingxxl.data.joined import JoinedDataset
from bigkingxxl.errors import BigKingXXLError
from bigkingxxl.evaluation.competition_map import competition_map
from bigkingxxl.evaluation.partial import counted
from bigkingxxl.geometry import disc_diameter
from bigkingxxl.inference.load import model_predictor
from bigkingxxl.inference.selection import select
from bigkingxxl.instances import Instances
from bigkingxxl.io.pictures.overlay import draw_overlay
from bigkingxxl.methods.base import Batch, Method
from bigkingxxl.models import Model, ModelCard
from bigkingxxl.training.device_images import DeviceImages
from bigkingxxl.training.muon import Muon, parameter_groups
from bigkingxxl.training.recipe import Recipe
from bigkingxxl.training.start import Start, take_weights
from bigkingxxl.training.views import Views

PICTURES = 3


class DivergedError(BigKingXXLError):
    """The loss is no number any more; the last good checkpoint stays."""


class TrainingModule(L.LightningModule):
    """Trains a method's network; validates by predicting images and scoring them.

    Args:
        method, recipe: what and how.
        card: of the model in the making; validation predicts with its settings.
        data: the data set; validation_ids: images predicted after each epoch.
        start: the model whose weights training starts from; None takes the method's own beginning.
        images: what `Views` in place of batches are of.
    """

    def __init__(
        self,
        method: Method,
        recipe: Recipe,
        card: ModelCard,
        data: Dataset,
        validation_ids: Sequence[str],
        start: Start | None = None,
        images: DeviceImages | None = None,
    ) -> None:
        super().__init__()
        self.method, self.recipe, self.card, self.data = method, recipe, card, data
        self.images = images
        self.validation_ids = tuple(validation_ids)
        network = method.build()
        if start is None:
            method.initialise(network)
        else:
            take_weights(network, method, start)
        self.network: nn.Module = network.to(memory_format=torch.channels_last)
        self.truth = {
            image_id: counted(data.instances(image_id), data.ignored(image_id))
            for image_id in self.validation_ids
        }
        self.predicted: dict[str, Instances] = {}
        self.score = 0.0
        self.seconds_before = 0.0
        self.started = time.monotonic()

    # ---- learning -----------------------------------------------------------------------------

    def on_train_epoch_start(self) -> None:
        """Batch norms that keep their statistics compute with them too."""
        if self.recipe.training.freeze_statistics:
            for layer in self.network.modules():
                if isinstance(layer, nn.BatchNorm2d):
                    layer.eval()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The total loss of one batch."""
        images = batch.images.contiguous(memory_format=torch.channels_last)
        losses = self.method.loss(self.network, Batch(images, batch.targets))
        self.check(losses, batch_idx)
        self.log_dict({f"train/{name}": value.detach() for name, value in losses.items()})
        return losses["loss"]

    def check(self, losses: dict[str, Tensor], batch_idx: int) -> None:
        """Refuse a loss that is no number.

        Raises:
            DivergedError: it names the batch.
        """
        if not torch.isfinite(losses["loss"]):
            raise DivergedError(
                f"the loss became {float(losses['loss'].detach())} in epoch {self.current_epoch}, "
                f"batch {batch_idx}: the last good checkpoint is kept; try a smaller learning_rate"
            )

    def configure_optimizers(self) -> Any:
        """AdamW or Muon; no weight decay on biases and norms; the rate falls as a cosine."""
        training = self.recipe.training
        groups = parameter_groups(self.network, muon=training.optimizer == "muon")
        optimizer = Muon(groups, lr=training.learning_rate, weight_decay=training.weight_decay)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self._rate)
        return {"optimizer": optimizer,
                "lr_scheduler": {"scheduler": schedule, "interval": "step"}}  # fmt: skip

    def _rate(self, step: int) -> float:
        """Share of the full learning rate: a linear start, then a cosine down to a hundredth."""
        start = min(1.0, (step + 1) / (self.recipe.training.warmup_steps + 1))
        return start * (0.01 + 0.99 * 0.5 * (1 + float(np.cos(np.pi * self.progress(step)))))

    def progress(self, step: int) -> float:
        """How far the training is, 0 to 1: by steps, or by time where that ends first."""
        training = self.recipe.training
        steps = training.epochs * -(-training.crops_per_epoch // training.batch_size)
        done = step / steps
        if training.max_minutes is not None:
            done = max(done, self.seconds() / (60 * training.max_minutes))
        return min(done, 1.0)

    def minutes_left(self) -> float:
        """How long the training still takes at its speed so far, at most."""
        done = self.progress(self.trainer.global_step)
        return self.seconds() / 60 * (1 - done) / max(done, 1e-3)

    def seconds(self) -> float:
        """Time spent in training, over all resumed parts."""
        return self.seconds_before + time.monotonic() - self.started

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """End the training when its time is over."""
        minutes = self.recipe.training.max_minutes
        if minutes is not None and self.seconds() > 60 * minutes:
            self.trainer.should_stop = True

    def transfer_batch_to_device(self, batch: Any, device: Any, dataloader_idx: int) -> Any:
        """Batches go to the device; ids of images to predict stay."""
        if isinstance(batch, Views):
            return batch.to(device)
        if not isinstance(batch, Batch):
            return batch
        moved = super().transfer_batch_to_device(batch.targets, device, dataloader_idx)
        unlabelled = None if batch.unlabelled is None else batch.unlabelled.to(device)
        return Batch(batch.images.to(device), moved, unlabelled)

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Views become crops where the images are."""
        if isinstance(batch, Views) and self.images is not None:
            return self.images.batch(batch)
        return batch

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the time spent and the last score."""
        checkpoint["seconds"], checkpoint["score"] = self.seconds(), self.score

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on with the time spent before."""
        self.seconds_before = float(checkpoint.get("seconds", 0.0))
        self.started = time.monotonic()

    # ---- validating ---------------------------------------------------------------------------

    def on_validation_epoch_start(self) -> None:
        """A fresh predictor of the weights as they are (averaged where averaging is on)."""
        self.predicted = {}
        model = Model(self.card, self.method, self.network)
        self.predictor = model_predictor(model, self.device.type)

    def validation_step(self, image_id: str, batch_idx: int) -> None:
        """Predict one image as the finished model would."""
        source = self.data.source(image_id)
        if self.recipe.augment.diameter_of == "image":
            # What is watched is how well cells are outlined: prediction estimates their size.
            source.cell_diameter = self.diameter(image_id)
        cells = select(self.predictor.candidates(source), self.card.operating_points)
        self.predicted[image_id] = counted(cells, self.data.ignored(image_id))
        if batch_idx < PICTURES and self.logger is not None:
            picture = torch.from_numpy(draw_overlay(source, cells))
            board: Any = self.logger.experiment
            board.add_image(f"prediction/{image_id}", picture, self.global_step, dataformats="HWC")

    def diameter(self, image_id: str) -> float | None:
        """Of a validation image's median true cell, in pixels; None where it has none."""
        areas = self.truth[image_id].areas()
        return float(np.median(disc_diameter(areas))) if len(areas) else None

    def kind(self, image_id: str) -> str | None:
        """What scores are told apart by: the cell type, and the set where there are several."""
        cell_type = self.data.cell_type(image_id)
        if not isinstance(self.data, JoinedDataset):
            return cell_type
        return "_".join(filter(None, (self.data.set_of(image_id), cell_type)))

    def on_validation_epoch_end(self) -> None:
        """Score the predicted images with the competition's metric."""
        types = {image_id: self.kind(image_id) for image_id in self.predicted}
        truth = {image_id: self.truth[image_id] for image_id in self.predicted}
        score = competition_map(truth, self.predicted, types)
        self.score = score.mean if score.challenge_mix is None else score.challenge_mix
        if isinstance(self.data, JoinedDataset):
            self.score = float(np.mean(list(score.by_type.values())))
        self.log("val/map", self.score, prog_bar=True)
        self.log("val/map_plain", score.mean)
        for name, value in score.by_type.items():
            self.log(f"val/map_{name}", value)

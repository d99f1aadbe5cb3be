"""The Lightning module that trains any method: losses, schedule, and validation with the mAP."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import lightning as L
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from bigkingxxl.cell_widths import typical_size
from bigkingxxl.data.dataset import Dataset
from bigkingxxl.data.joined import JoinedDataset
from bigkingxxl.errors import BigKingXXLError
from bigkingxxl.evaluation.competition_map import competition_map
from bigkingxxl.evaluation.partial_annotation import counted
from bigkingxxl.inference.load_model import model_predictor
from bigkingxxl.inference.selection import select
from bigkingxxl.instances import Instances
from bigkingxxl.io.pictures.overlay import draw_overlay
from bigkingxxl.methods.base import Batch, Method
from bigkingxxl.model_card import ModelCard
from bigkingxxl.model_files import Model
from bigkingxxl.training.budget import Budget
from bigkingxxl.training.crop_teacher import CropTeacher
from bigkingxxl.training.device_images import DeviceImages
from bigkingxxl.training.devices import agreed, are_several, gathered, own_part
from bigkingxxl.training.even_sampling import label
from bigkingxxl.training.muon import Muon, parameter_groups
from bigkingxxl.training.recipe import Recipe
from bigkingxxl.training.starting_model import Start, take_weights
from bigkingxxl.training.views import Views

PICTURES = 3


class DivergedError(BigKingXXLError):
    """The loss is not finite; the last good checkpoint is kept."""


class LossMean:
    """The mean loss of an epoch.

    Args:
        total: The sum of the losses so far.
        count: Their number.
    """

    def __init__(self, total: float = 0.0, count: int = 0) -> None:
        self.total, self.count = total, count

    def add(self, loss: float) -> None:
        """Add a loss."""
        self.total, self.count = self.total + loss, self.count + 1

    def state(self) -> dict[str, Any]:
        """Return the state for a checkpoint."""
        return {"total": self.total, "count": self.count}

    def __float__(self) -> float:
        return self.total / self.count if self.count else float("nan")


class TrainingModule(L.LightningModule):
    """Trains the network of a method; validates by predicting images and scoring them.

    Args:
        method: The method.
        recipe: The recipe.
        card: The card of the model; validation predicts with its settings.
        data: The data set.
        validation_ids: The images predicted after each epoch.
        start: The model whose weights training starts from; None uses the method's initialisation.
        images: The images that `Views` refer to, if batches are views.
        budget: The time budget; by default a new one that starts now.
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
        budget: Budget | None = None,
    ) -> None:
        super().__init__()
        self.method, self.recipe, self.card, self.data = method, recipe, card, data
        self.images = images
        self.teacher: CropTeacher | None = None
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
        self.was_validated, self.epochs = False, 0
        self.losses = LossMean()
        self.budget = Budget(recipe.training) if budget is None else budget

    # ---- training -----------------------------------------------------------------------------

    def on_train_start(self) -> None:
        """Measure the time of a validation, unless an epoch is being continued.

        A training whose time was used up and that was validated stays finished.
        """
        self._agree()
        if self.was_validated and self.budget.used() >= 1:
            self.trainer.should_stop = True
            return
        if self.budget.is_limited and self.budget.reserved_wall == 0:
            self._try_validation()
        self._freeze_statistics()

    def _agree(self) -> None:
        """Make all processes of the training use the same clock."""
        if are_several():
            (self.budget.agreed,) = agreed((self.budget.own(),), self.device)

    def on_train_epoch_start(self) -> None:
        """Start a new mean loss."""
        self.losses = LossMean()
        self._freeze_statistics()

    def _freeze_statistics(self) -> None:
        """Make batch norms with frozen statistics also normalise with them."""
        if self.recipe.training.freeze_statistics:
            for layer in self.network.modules():
                if isinstance(layer, nn.BatchNorm2d):
                    layer.eval()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Compute the total loss of one batch."""
        images = batch.images.contiguous(memory_format=torch.channels_last)
        targets = batch.targets if self.teacher is None else self.teacher.targets(batch)
        losses = self.method.loss(self.network, Batch(images, targets))
        self.check(losses, batch_idx)
        self.log_dict({f"train/{name}": value.detach() for name, value in losses.items()})
        return losses["loss"]

    def check(self, losses: dict[str, Tensor], batch_idx: int) -> None:
        """Check that a loss is finite.

        Raises:
            DivergedError: It is not; the message names the batch.
        """
        loss = float(losses["loss"].detach())
        if not math.isfinite(loss):
            raise DivergedError(
                f"the loss became {loss} in epoch {self.current_epoch}, "
                f"batch {batch_idx}: the last good checkpoint is kept; try a smaller learning_rate",
                key="loss",
                found=(self.current_epoch, batch_idx),
            )
        self.losses.add(loss)

    def configure_optimizers(self) -> Any:
        """Return AdamW or Muon without weight decay on biases and norms, and a cosine schedule."""
        training = self.recipe.training
        groups = parameter_groups(self.network, muon=training.optimizer == "muon")
        optimizer = Muon(groups, lr=training.learning_rate, weight_decay=training.weight_decay)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self._rate)
        return {"optimizer": optimizer,
                "lr_scheduler": {"scheduler": schedule, "interval": "step"}}  # fmt: skip

    def _rate(self, step: int) -> float:
        """Return the relative learning rate: linear warm-up, then a cosine down to a hundredth."""
        start = min(1.0, (step + 1) / (self.recipe.training.warmup_steps + 1))
        return start * (0.01 + 0.99 * 0.5 * (1 + float(np.cos(np.pi * self.progress(step)))))

    def progress(self, step: int) -> float:
        """Return the progress from 0 to 1, by steps or by time, whichever ends first."""
        training = self.recipe.training
        steps = training.epochs * -(-training.crops_per_epoch // training.batch_size)
        return min(max(step / steps, self.budget.used()), 1.0)

    def minutes_left(self) -> float:
        """Estimate how long the training will still take at most."""
        done = self.progress(self.trainer.global_step)
        return self.seconds() / 60 * (1 - done) / max(done, 1e-3)

    def seconds(self) -> float:
        """Return the time spent in training, over all resumed parts."""
        return self.budget.seconds()

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Stop the training when its time is over, after a final validation."""
        self._agree()
        self._end_if_over()

    def _end_if_over(self) -> None:
        if self.budget.used() >= 1:
            self.trainer.should_stop = True

    def transfer_batch_to_device(self, batch: Any, device: Any, dataloader_idx: int) -> Any:
        """Move batches to the device; ids of images to predict are left unchanged."""
        if isinstance(batch, Views):
            return batch.to(device)
        if not isinstance(batch, Batch):
            return batch
        moved = super().transfer_batch_to_device(batch.targets, device, dataloader_idx)
        unlabelled = None if batch.unlabelled is None else batch.unlabelled.to(device)
        taught, clean = (None if each is None else each.to(device)
                         for each in (batch.taught, batch.clean))  # fmt: skip
        return Batch(batch.images.to(device), moved, unlabelled, taught, clean)

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Convert views to crops on the device."""
        if isinstance(batch, Views) and self.images is not None:
            return self.images.batch(batch)
        return batch

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store the time spent, the last score and the mean loss."""
        checkpoint["budget"], checkpoint["score"] = self.budget.state(), float(self.score)
        checkpoint["losses"], checkpoint["epochs"] = self.losses.state(), self.epochs

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the time spent, the last score and the mean loss."""
        self.budget.load(checkpoint.get("budget", {}))
        self.score = float(checkpoint.get("score", 0.0))
        self.epochs = int(checkpoint.get("epochs", checkpoint.get("epoch", 0)))
        self.was_validated = bool(checkpoint.get("validated", False))
        self.losses = LossMean(**checkpoint.get("losses", {}))

    # ---- validation ---------------------------------------------------------------------------

    def _try_validation(self) -> None:
        """Reserve time for a validation until the first one is measured.

        It predicts the largest image and does not affect the training.
        """
        sizes = {each: math.prod(self.data.source(each).shape) for each in self.validation_ids}
        if not sizes:
            return
        largest = max(sizes, key=lambda each: sizes[each])
        training = {module: module.training for module in self.network.modules()}
        self.network.eval()
        self.budget.begin_validation()
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            model = Model(self.card, self.method, self.network)
            predictor = model_predictor(model, self.device.type)
            select(predictor.candidates(self.data.source(largest)), self.card.operating_points)
        self.budget.end_validation(sum(sizes.values()) / max(sizes[largest], 1))
        for module, was in training.items():
            module.training = was

    def on_validation_epoch_start(self) -> None:
        """Create a predictor with the current weights (averaged ones, if averaging is on)."""
        self.budget.begin_validation()
        self.predicted = {}
        model = Model(self.card, self.method, self.network)
        self.predictor = model_predictor(model, self.device.type)

    def validation_step(self, image_id: str, batch_idx: int) -> None:
        """Predict one image as the finished model would, apart from what is known of it.

        The size of its cells is known, and it does not count as out of focus: the validation
        measures how well cells are outlined.
        """
        source = self.data.source(image_id)
        augment = self.recipe.augment
        if augment.is_by_image:
            by_width = augment.diameter_of == "width"
            source.cell_diameter = typical_size(self.truth[image_id], by_width=by_width)
        cells = select(self.predictor.candidates(source), self.card.operating_points)
        self.predicted[image_id] = counted(cells, self.data.ignored(image_id))
        if batch_idx < PICTURES and self.logger is not None:
            picture = torch.from_numpy(draw_overlay(source, cells))
            board: Any = self.logger.experiment
            board.add_image(f"prediction/{image_id}", picture, self.global_step, dataformats="HWC")

    def val_dataloader(self) -> Any:
        """Return the ids of the images that this process predicts after each epoch."""
        return DataLoader(own_part(self.validation_ids), batch_size=None)  # type: ignore[arg-type]

    def on_validation_epoch_end(self) -> None:
        """Score the predicted images with the competition mAP."""
        found = gathered(self.predicted)
        self.predicted = {each: found[each] for each in self.validation_ids if each in found}
        types = {image_id: label(self.data, image_id) for image_id in self.predicted}
        truth = {image_id: self.truth[image_id] for image_id in self.predicted}
        score = competition_map(truth, self.predicted, types)
        self.score = score.mean if score.challenge_mix is None else score.challenge_mix
        if isinstance(self.data, JoinedDataset):
            self.score = float(np.mean(list(score.by_type.values())))
        self.log("val/map", self.score, prog_bar=True)
        self.log("val/map_plain", score.mean)
        for name, value in score.by_type.items():
            self.log(f"val/map_{name}", value)
        self.epochs = self.current_epoch + 1
        self.budget.end_validation()
        self._end_if_over()

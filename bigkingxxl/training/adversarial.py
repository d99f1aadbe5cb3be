"""Adversarial training: a critic adds a loss for masks that do not look real.

The critic learns from annotated images only: from true and predicted masks of the same crops. It
also judges predictions for images without annotations. If it had seen those only with predicted
masks, it would recognise the images and ignore the masks (Hung et al. 2018).
"""

from __future__ import annotations

import logging
from typing import Any

import torch
from torch import Tensor

from bigkingxxl.methods.base import Batch
from bigkingxxl.networks.critic import Critic
from bigkingxxl.networks.frozen_batch_statistics import frozen_batch_statistics
from bigkingxxl.training.adversarial_losses import softened
from bigkingxxl.training.critic_trainer import BETAS, CriticStep, CriticTrainer
from bigkingxxl.training.critic_watch import CriticWatch
from bigkingxxl.training.module import TrainingModule
from bigkingxxl.training.recipe import AdversarialSettings

log = logging.getLogger(__name__)

SHOWN = 4  # crops in the sample grid


class AdversarialModule(TrainingModule):
    """A training module with a critic that judges the predicted masks.

    With a weight of 0, the network learns exactly what it learns without a critic: the critic has a
    random generator of its own, and its forward passes do not update batch statistics.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.automatic_optimization = False
        assert self.recipe.adversarial is not None
        self.adversarial: AdversarialSettings = self.recipe.adversarial
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.recipe.seed)
            self.critic = Critic(
                self.card.image_channels, len(self.method.type_names), self.adversarial.critic_width
            )
        self.trust = 1.0  # halved each time the critic fails
        self.watch = CriticWatch()
        self.samples: tuple[Tensor, ...] = ()

    # ---- training -----------------------------------------------------------------------------

    def configure_optimizers(self) -> Any:
        """Return the optimizer of the network and the critic's Adam."""
        own = super().configure_optimizers()
        critic = torch.optim.Adam(
            self.critic.parameters(), lr=self.adversarial.critic_learning_rate, betas=BETAS
        )
        return [own["optimizer"], critic], [own["lr_scheduler"]]

    def weight(self) -> float:
        """Return the weight of the adversarial loss, which rises linearly, times the trust."""
        own, done = self.adversarial, self.progress(self.trainer.global_step)
        share = 1.0 if done >= own.full else max(done - own.begin, 0) / (own.full - own.begin)
        return own.weight * self.trust * share

    def training_step(self, batch: Batch, batch_idx: int) -> None:  # type: ignore[override]
        """Train the critic, then the network."""
        images = batch.images.contiguous(memory_format=torch.channels_last)
        losses, layers = self.method.losses_and_layers(self.network, Batch(images, batch.targets))
        self.check(losses, batch_idx)
        real = softened(self.method.true_layers(batch.targets), self.adversarial.softening)
        teacher = self.critic_trainer()
        seen = teacher.learn(images, real, layers, self.trainer.global_step)
        weight, total = self.weight(), losses["loss"]
        judged = {"annotated": (images, layers, 1.0), **self.unlabelled_layers(batch, weight)}
        answers = {name: teacher.pull(each[0], each[1]) for name, each in judged.items()}
        if self.is_sound(seen, {name: slope for name, (_, slope) in answers.items()}):
            if weight > 0:
                for name, (_, each, share) in judged.items():
                    total = total + weight * share * (each * answers[name][1]).sum()
            self.network_step(total)
        self.samples = (images.detach(), real.detach(), layers.detach())
        self.report(losses, seen, answers, weight)

    def unlabelled_layers(
        self, batch: Batch, weight: float
    ) -> dict[str, tuple[Tensor, Tensor, float]]:
        """Return the layers of unlabelled images with their weight; empty if there are none.

        Args:
            batch: The batch.
            weight: The weight of the adversarial loss; at 0 the layers have no gradient.
        """
        if batch.unlabelled is None:
            return {}
        images = batch.unlabelled.contiguous(memory_format=torch.channels_last)
        wanted = weight * self.adversarial.unlabelled_weight > 0
        # Only this device: by default the random state of all GPUs would be saved.
        own = [self.device] if self.device.type == "cuda" else []
        with (
            torch.random.fork_rng(devices=own),
            frozen_batch_statistics(self.network),
            torch.set_grad_enabled(wanted),
        ):
            layers = self.method.layers(self.network, images)
        return {"unlabelled": (images, layers, self.adversarial.unlabelled_weight)}

    def network_step(self, loss: Tensor) -> None:
        """Step as Lightning's automatic optimization does: clip, step, update the rate."""
        optimizer, _ = self.optimizers()
        optimizer.zero_grad()
        self.manual_backward(loss)
        slopes = [each.grad for each in self.network.parameters() if each.grad is not None]
        self.log("train/gradient_norm", torch.nn.utils.get_total_norm(slopes))
        with torch.autocast(self.device.type, enabled=False):
            self.clip_gradients(optimizer, self.recipe.training.clip_norm, "norm")
            optimizer.step()
        self.lr_schedulers().step()

    def critic_trainer(self) -> CriticTrainer:
        """Return the critic with its optimizer, whose steps do not count as training steps."""
        optimizer = self.optimizers()[1].optimizer
        return CriticTrainer(self.critic, optimizer, self.adversarial, self.recipe.seed)

    def is_sound(self, seen: CriticStep, slopes: dict[str, Tensor]) -> bool:
        """Return whether the step is safe; otherwise restore the last good state."""
        optimizers = {str(i): each.optimizer for i, each in enumerate(self.optimizers())}
        parts = {"network": self.network, "critic": self.critic, **optimizers}
        fault = self.watch.fault(seen, slopes)
        if fault is None:
            self.watch.keep(self.trainer.global_step, parts)
            return True
        self.trust /= 2
        self.watch.go_back(parts)
        log.warning(
            "epoch %d: %s; training continues from the last good state, with an adversarial "
            "weight of %g", self.current_epoch, fault, self.adversarial.weight * self.trust,
        )  # fmt: skip
        return False

    # ---- logging ------------------------------------------------------------------------------

    def report(
        self, losses: dict[str, Tensor], seen: CriticStep,
        answers: dict[str, tuple[Tensor, Tensor]], weight: float,
    ) -> None:  # fmt: skip
        """Log the losses, the critic's distance, the scores of the masks and the weight."""
        self.log_dict({f"train/{name}": value.detach() for name, value in losses.items()})
        self.log_dict({
            "critic/loss": seen.loss, "critic/gradient_penalty": seen.penalty,
            "critic/distance": seen.distance, "critic/weight": weight,
            **{f"critic/loss_on_{name}": loss for name, (loss, _) in answers.items()},
            **{f"critic/gradient_norm_on_{name}": slope.norm() for name, (_, slope) in
               answers.items()},
        })  # fmt: skip

    def on_validation_epoch_end(self) -> None:
        """Log the score and a grid of crops with true and predicted layers."""
        super().on_validation_epoch_end()
        if self.samples and self.logger is not None:
            board: Any = self.logger.experiment
            board.add_image("critic/image_true_predicted", sample_grid(*self.samples),
                            self.global_step)  # fmt: skip

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store the trust in the checkpoint."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["trust"] = self.trust

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the trust."""
        super().on_load_checkpoint(checkpoint)
        self.trust = float(checkpoint.get("trust", 1.0))


def sample_grid(images: Tensor, real: Tensor, predicted: Tensor) -> Tensor:
    """Draw one row per crop: the image, its true layers and the predicted ones, float32[3, H, W].

    The first three cell types are red, green and blue.
    """
    from torchvision.utils import make_grid

    rows = []
    for image, *layers in zip(images[:SHOWN], real[:SHOWN], predicted[:SHOWN], strict=True):
        gray = image.float().mean(dim=0, keepdim=True)
        low, high = gray.min(), gray.max()
        rows.append(((gray - low) / (high - low).clamp(min=1e-6)).expand(3, -1, -1))
        rows += [coloured(each.float()) for each in layers]
    grid: Tensor = make_grid(torch.stack(rows).cpu(), nrow=3)
    return grid


def coloured(layers: Tensor) -> Tensor:
    """Convert up to three layers float32[T, h, w] to RGB, float32[3, h, w]."""
    shown = layers.new_zeros((3, *layers.shape[1:]))
    shown[: len(layers)] = layers[:3]
    return shown.clamp(0, 1)

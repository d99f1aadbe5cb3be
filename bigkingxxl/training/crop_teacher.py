"""A teacher that predicts the training crops.

The teacher sees the crops with their original intensities, and the student with changed ones. The
student thus keeps the knowledge of the teacher (learning without forgetting) and applies it to
other intensities.

Source: Li and Hoiem 2016 (learning without forgetting), Hinton et al. 2015 (distillation).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bigkingxxl.decoding.base import Channel
from bigkingxxl.errors import InputError
from bigkingxxl.geometry import FLIPS, Symmetry
from bigkingxxl.inference.dense_predictor import turn_vectors
from bigkingxxl.methods.base import Batch, DenseMethod, Method
from bigkingxxl.model_files import load_model, resolve_model
from bigkingxxl.training.recipe import TeacherSettings
from bigkingxxl.training.teacher import FOREGROUND


@dataclass(frozen=True, eq=False)
class CropTeacher:
    """Models whose mean maps are a part of the targets of a crop.

    Attributes:
        settings: The settings of the recipe.
        models: Each network with its method.
        channels: The channels of the student; those that the teachers lack are not taught.
    """

    settings: TeacherSettings
    models: Sequence[tuple[Any, DenseMethod]]
    channels: tuple[Channel, ...]

    @classmethod
    def of(cls, settings: TeacherSettings, method: Method, device: str) -> CropTeacher:
        """Load the models that the settings name.

        Raises:
            ModelError: A model is missing or damaged.
            InputError: A model has no channel of the student.
        """
        if not isinstance(method, DenseMethod):
            raise InputError(
                f"the method '{method.name}' does not learn maps, so it cannot have a teacher: "
                "remove 'teacher' from the recipe",
                key="teacher",
                found=method.name,
            )
        channels = method.representation.channels
        return cls(settings, [_loaded(name, channels, device) for name in settings.models],
                   channels)  # fmt: skip

    @torch.no_grad()
    def targets(self, batch: Batch) -> Tensor:
        """Return the targets of a batch, float32[B, K, h, w], mixed with those of the teacher.

        Where the image is not annotated, the targets are the teacher's.
        """
        own: Tensor = batch.targets
        if batch.taught is None or batch.clean is None or len(batch.taught) == 0:
            return own
        maps, is_known = self.maps(batch.clean)
        targets, weight = own.clone(), self.settings.weight
        before = own[batch.taught]
        mixed = torch.where(before.isnan(), maps, (1 - weight) * before + weight * maps)
        targets[batch.taught] = torch.where(is_known, mixed, before)
        return targets

    @torch.no_grad()
    def maps(self, clean: Tensor) -> tuple[Tensor, Tensor]:
        """Return the teacher's targets, float32[T, K, h, w], and where they are known.

        The type probabilities of a pixel add up to its foreground probability; its size is known
        inside cells only.
        """
        names = [channel.name for channel in self.channels]
        total = torch.zeros((len(clean), len(names), *clean.shape[2:]), device=clean.device)
        known = torch.ones_like(total, dtype=torch.bool)
        for network, method in self.models:
            seen = self._seen(network, method, clean)
            own = [channel.name for channel in method.representation.channels]
            has_types = any(channel.activation == "softmax"
                            for channel in method.representation.channels)  # fmt: skip
            foreground = seen[:, own.index(FOREGROUND)]
            for place, channel in enumerate(self.channels):
                if channel.name not in own:
                    # A type that the teacher does not distinguish gets no part of a pixel.
                    known[:, place] &= channel.activation == "softmax" and has_types
                    continue
                layer = seen[:, own.index(channel.name)]
                if channel.activation == "softmax":
                    layer = layer * foreground
                if channel.kind == "log_length":
                    known[:, place] &= foreground > 0.5
                total[:, place] += layer
        return total / len(self.models), known

    def _seen(self, network: Any, method: DenseMethod, clean: Tensor) -> Tensor:
        """Compute the maps of one model, averaged over its views: float32[T, k, h, w]."""
        views = FLIPS[: self.settings.flips]
        if views == (Symmetry(),):
            return method.maps(network, clean.contiguous(memory_format=torch.channels_last))
        images = clean.cpu().numpy()
        total: Any = 0
        for view in views:
            turned = torch.from_numpy(view.apply(images).copy()).to(clean.device)
            seen = method.maps(network, turned).float().cpu().numpy()
            for maps in seen:
                back = view.inverse
                maps[:] = turn_vectors(
                    back.apply(maps).copy(), back, method.representation.channels
                )
            total = total + seen
        return torch.from_numpy(total / len(views)).to(clean.device)


def _loaded(name: str, channels: Sequence[Channel], device: str) -> tuple[Any, DenseMethod]:
    """Load a network by name or file; see `CropTeacher.of`."""
    path = resolve_model(name)
    model = load_model(path, device)
    wanted = [channel.name for channel in channels]
    dense = model.method if isinstance(model.method, DenseMethod) else None
    made = [channel.name for channel in dense.representation.channels] if dense else []
    shared = [each for each in made if each in wanted]
    if dense is None or FOREGROUND not in shared or len(shared) < 2:
        raise InputError(
            f"the teacher {path} makes {', '.join(made) or 'no maps'}, expected a model that "
            f"makes at least one of the maps that are learned here: {', '.join(wanted)}",
            file=path,
            key="teacher",
            found=tuple(made),
            expected=tuple(wanted),
        )
    return model.network.eval(), dense

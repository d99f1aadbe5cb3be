"""Knowledge distillation: the maps of trained models complement or replace annotations.

The maps are soft: uncertain boundaries remain uncertain. For annotated images they keep a network
from memorising an annotator's errors; for other images they are the only targets.

Source: Hinton et al. 2015 (distillation), Xie et al. 2020 (unlabelled images).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.decoding.base import Channel
from bigkingxxl.errors import InputError, SettingsError
from bigkingxxl.geometry import resize
from bigkingxxl.images import ImageSource
from bigkingxxl.inference.dense_predictor import DensePredictor
from bigkingxxl.inference.load_model import model_predictor
from bigkingxxl.inference.mean_maps import MeanMaps
from bigkingxxl.model_files import load_model, resolve_model
from bigkingxxl.test_time_augmentation import EARLIER
from bigkingxxl.training.recipe import TeacherSettings

Float32 = NDArray[np.float32]
FOREGROUND = "foreground"


@dataclass(frozen=True, eq=False)
class Teacher:
    """A model, or the mean of several, whose maps are targets.

    Attributes:
        settings: The settings of the recipe.
        predictor: The predictor of the model.
        channels: The channels of the student, which the teacher has as well.
    """

    settings: TeacherSettings
    predictor: DensePredictor
    channels: tuple[Channel, ...]

    @classmethod
    def of(cls, settings: TeacherSettings, channels: tuple[Channel, ...], device: str) -> Teacher:
        """Load the model, or the mean of the models, that the settings name.

        Raises:
            ModelError: A model is missing or damaged.
            InputError: Its maps differ from those of the student.
        """
        models = [_dense(name, settings, channels, device) for name in settings.models]
        mean = models[0] if len(models) == 1 else MeanMaps.of(models, [1.0] * len(models))
        return cls(settings, mean, channels)

    def targets(self, source: ImageSource, shape: tuple[int, ...]) -> Float32:
        """Compute the maps of an image as targets, float32[K, H, W], for an image of a given shape.

        As in annotated images, the type probabilities of a pixel add up to its foreground
        probability. Flows are shorter where the teacher is uncertain.
        """
        if source.statistics.is_blank:
            return np.zeros((len(self.channels), *shape), np.float32)
        maps = resize(self.predictor.maps(source), (shape[0], shape[1]))
        names = [channel.name for channel in self.channels]
        for place, channel in enumerate(self.channels):
            if channel.activation == "softmax":
                maps[place] *= maps[names.index(FOREGROUND)]
        return maps


def _dense(
    name: str, settings: TeacherSettings, channels: tuple[Channel, ...], device: str
) -> DensePredictor:
    """Load a dense model with the given channels by name or file; see `Teacher.of`."""
    path = resolve_model(name)
    model = load_model(path, device)
    if settings.flips not in EARLIER:
        raise SettingsError(
            f"'teacher.flips' is {settings.flips}, expected 1, 2 or 4",
            key="teacher.flips",
            found=settings.flips,
            expected=(1, 2, 4),
        )
    prediction = model.card.prediction.changed(tta=EARLIER[settings.flips], decode_scale=1.0)
    predictor = model_predictor(model, device, settings=prediction)
    wanted = [channel.name for channel in channels]
    made = (
        [channel.name for channel in predictor.representation.channels]
        if isinstance(predictor, DensePredictor)
        else []
    )
    if not isinstance(predictor, DensePredictor) or made != wanted:
        raise InputError(
            f"the teacher {path} makes {', '.join(made) or 'no maps'}, expected a model that "
            f"makes the maps that are learned here: {', '.join(wanted)}",
            file=path,
            key="teacher",
            found=tuple(made),
            expected=tuple(wanted),
        )
    return predictor

"""Warnings about images that differ from the training images, or whose cells do."""

from __future__ import annotations

import numpy as np

from bigkingxxl.candidates import Candidates
from bigkingxxl.geometry import disc_diameter
from bigkingxxl.images import ImageSource
from bigkingxxl.inference.domain.image_statistics import image_statistics, outside_ranges
from bigkingxxl.inference.size.scale_ratio import TrainingImages, training_images
from bigkingxxl.instances import Instances
from bigkingxxl.model_card import ModelCard

# The false alarms of these values were measured by the study familiar_images
# (benchmarks/studies/README.md).
DIAMETER_MARGIN = 1.5
FEWEST_CELLS = 5  # the fewest cells from which a median is taken
# What an image looks like if a value of `image_statistics` lies below or above its range.
WORDS = {
    "contrast": ("its contrast is weaker", "its contrast is stronger"),
    "skewness": ("its bright parts have less contrast", "its bright parts have more contrast"),
    "grain": ("it is smoother", "it is grainier"),
    "fine": ("it shows less fine detail", "it shows more fine detail"),
    "coarse": (
        "its brightness varies less over long distances",
        "its brightness varies more over long distances",
    ),
}


def warnings_for(
    card: ModelCard,
    source: ImageSource,
    candidates: Candidates,
    instances: Instances,
) -> list[str]:
    """Return a sentence for each aspect in which an image differs from the training images.

    Args:
        card: The card of the model.
        source: The image.
        candidates: The candidates, which hold the scale of the prediction.
        instances: The cells selected from them.
    """
    if source.statistics.is_blank:
        return []
    training, ratio = training_images(card), candidates.scale_ratio
    found: list[str] = []
    statistics = image_statistics(source, card.normalisation, ratio)
    # Prediction corrects an exchanged polarity by itself.
    turned = {**statistics, "skewness": -statistics["skewness"]}
    odd = min(
        (outside_ranges(each, card.image_statistics) for each in (statistics, turned)), key=len
    )
    if odd:
        words = [WORDS[name][statistics[name] > card.image_statistics[name][1]] for name in odd]
        found.append(f"it differs from the training images: {' and '.join(words)}")
    if card.image_diameters and len(instances) >= FEWEST_CELLS:
        found += _diameter_warnings(training, instances, ratio)
    return found


def _diameter_warnings(training: TrainingImages, instances: Instances, ratio: float) -> list[str]:
    kinds = np.bincount(instances.cell_type, minlength=len(instances.type_names))
    low, high = training.diameter_range(instances.type_names[int(kinds.argmax())])
    diameter = float(disc_diameter(np.median(instances.areas())))
    low, high = low / ratio, high / ratio
    if low / DIAMETER_MARGIN <= diameter <= high * DIAMETER_MARGIN:
        return []
    median = f"its cells have a median diameter of {diameter:.1f} pixels"
    return [f"{median}, expected {low:.1f} to {high:.1f}"]

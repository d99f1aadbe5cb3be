"""Cells that are larger than the crops on which a network is trained."""

from __future__ import annotations

import logging

from bigkingxxl.display_text import counted
from bigkingxxl.training.crops import CropDataset, MixedCrops, image_diameters
from bigkingxxl.training.dataset_checks import some_of

log = logging.getLogger(__name__)


def warn_of_large_cells(crops: CropDataset | MixedCrops) -> None:
    """Warn of images whose typical cell is larger than a crop even in the widest usual view."""
    crops = crops.crops if isinstance(crops, MixedCrops) else crops
    size, large = crops.recipe.augment.size, list[str]()
    for image_id, diameter in image_diameters(crops.data, crops.ids, "as_annotated").items():
        shrink, view = crops.views(image_id)
        if diameter * shrink * view.zoom[0] > size:
            large.append(image_id)
    if large:
        log.warning(
            "the cells of %s of %d are larger than a crop of %d pixels and cannot be learnt as a "
            "whole: add --set augment.diameter=24, or a larger augment.size: %s",
            counted(len(large), "image"), len(crops.ids), size, some_of(large),
        )  # fmt: skip

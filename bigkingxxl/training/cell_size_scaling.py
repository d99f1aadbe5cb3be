"""Scale images so that cells have one size, in training and in prediction, by cell type."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bigkingxxl.data.dataset import Dataset
from bigkingxxl.data.label_policy import LabelPolicy, apply_policy
from bigkingxxl.geometry import disc_diameter
from bigkingxxl.operating_points import ZOOM
from bigkingxxl.training.recipe import Recipe
from bigkingxxl.training.starting_model import cell_sizes

SAME_SIZE = 0.1  # a type whose cells differ less from all cells gets no zoom of its own


def type_diameters(
    data: Dataset, ids: Sequence[str], policy: LabelPolicy
) -> dict[str | None, float]:
    """Return, by cell type, the median over images of the median cell diameter in pixels.

    The key None holds that of all images, for images without cells; {} if there are no cells.
    """
    found: dict[str | None, list[float]] = {}
    for image_id in ids:
        areas = apply_policy(data.instances(image_id), policy).areas()
        if len(areas):
            diameter = float(np.median(disc_diameter(areas)))
            found.setdefault(data.cell_type(image_id), []).append(diameter)
            found.setdefault(None, []).append(diameter)
    return {name: float(np.median(each)) for name, each in found.items()}


def sized(recipe: Recipe, data: Dataset, ids: Sequence[str]) -> Recipe:
    """Return the recipe with the scale of its training, if `augment.diameter` is set.

    Unless the recipe gives `prediction.scale`, it is chosen so that the median cell has that
    diameter. Types with larger or smaller cells get a zoom among their decoding parameters.
    """
    diameter = recipe.augment.diameter
    if diameter is None or recipe.augment.is_by_image:
        return recipe
    policy = recipe.training.label_policy
    scale = diameter / cell_sizes(data, ids, policy).median_diameter
    if "scale" in recipe.prediction.model_fields_set:
        scale = recipe.prediction.scale
    points = recipe.operating_points
    by_type = {name: point.model_dump() for name, point in points.by_type.items()}
    for name, own in type_diameters(data, ids, policy).items():
        zoom = diameter / own / scale
        if name is not None and name not in by_type and abs(zoom - 1) > SAME_SIZE:
            by_type[name] = points.default.model_dump()
            by_type[name]["decode"][ZOOM] = round(zoom, 3)
    return recipe.changed(
        prediction=recipe.prediction.changed(scale=scale).model_dump(),
        operating_points=points.changed(by_type=by_type).model_dump(),
    )

"""The card of the model that a run trains."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np

from bigkingxxl.data.dataset import Dataset, fingerprint
from bigkingxxl.data.joined import JoinedDataset, without_set
from bigkingxxl.geometry import disc_diameter
from bigkingxxl.images import Normalisation
from bigkingxxl.inference.domain.image_statistics import image_statistics, ranges
from bigkingxxl.methods.registry import make_method
from bigkingxxl.model_card import ModelCard
from bigkingxxl.model_files import model_hash, read_card, resolve_model
from bigkingxxl.provenance import provenance
from bigkingxxl.training.images import RunImages
from bigkingxxl.training.recipe import Recipe
from bigkingxxl.training.starting_model import Start, cell_sizes

FEWEST = 20  # images needed to determine a range
MOST_IMAGES = 200  # more images hardly change a range
SPAN = (5, 95)  # percentiles, because some images contain an unusual cell
Ranges = dict[str, tuple[float, float]]


def make_card(recipe: Recipe, data: Dataset, images: RunImages, start: Start | None) -> ModelCard:
    """Create the card of the model that a run trains.

    It includes the images on which its starting model and its teachers were trained and selected,
    which are not suitable for testing it.
    """
    source = data.source(images.training[0])
    one_size = recipe.augment.is_by_image
    if one_size:
        diameter = (recipe.augment.diameter or 1.0) / recipe.prediction.scale
    else:
        policy = recipe.training.label_policy
        diameter = cell_sizes(data, images.training, policy).median_diameter
    bases = [start.model.card] if start else []
    made: dict[str, Any] = {**provenance(recipe.seed), "data": fingerprint(data)}
    if recipe.varied_images:
        made["varied_images"] = recipe.varied_images
    if start is not None:
        made["init"] = {"name": recipe.init, "hash": model_hash(start.path)}
    if recipe.teacher is not None:
        paths = {name: resolve_model(name) for name in recipe.teacher.models}
        bases += [read_card(path) for path in paths.values()]
        made["teacher"] = [{"name": n, "hash": model_hash(path)} for n, path in paths.items()]
    return ModelCard(
        method=recipe.method,
        settings=make_method(recipe.method, recipe.settings, data.type_names).settings.model_dump(),
        type_names=data.type_names,
        image_channels=source.channels,
        normalisation=recipe.normalisation,
        prediction=recipe.prediction,
        operating_points=recipe.operating_points,
        pixel_size_um=recipe.pixel_size_um or source.pixel_size_um,
        median_diameter=diameter,
        image_diameters={} if one_size else image_diameters(data, images.training),
        image_statistics=statistic_ranges(data, images.training, recipe.normalisation),
        trained_on=together(own_ids(data, images.training), *(base.trained_on for base in bases)),
        selected_on=together(
            own_ids(data, images.shown) if images.chooses else (),
            *(base.selected_on for base in bases),
        ),
        provenance=made,
        licence=next((base.licence for base in bases if base.licence), ""),
    )


def own_ids(data: Dataset, ids: Sequence[str]) -> tuple[str, ...]:
    """Return the ids of images in their own data sets, as `SET/ID` if several sets have that id."""
    if not isinstance(data, JoinedDataset):
        return tuple(ids)
    count = Counter(map(without_set, data.ids))
    return tuple(each if count[without_set(each)] > 1 else without_set(each) for each in ids)


def together(*parts: Sequence[str]) -> tuple[str, ...]:
    """Merge sequences without duplicates, in order."""
    return tuple(dict.fromkeys(chain.from_iterable(parts)))


def image_diameters(data: Dataset, ids: Sequence[str]) -> Ranges:
    """Return, by cell type, the range of the median cell diameter of an image; {} for few images.

    The diameter of a cell, in pixels, is that of a disc of its area.
    """
    if len(ids) < FEWEST:
        return {}
    found: dict[str, list[float]] = {}
    for image_id in ids:
        cells = data.instances(image_id)
        diameters = disc_diameter(cells.areas())
        for kind in np.unique(cells.cell_type).tolist():
            own = float(np.median(diameters[cells.cell_type == kind]))
            found.setdefault(data.type_names[kind], []).append(own)
    spans = {name: np.percentile(values, SPAN) for name, values in sorted(found.items())}
    return {name: (float(low), float(high)) for name, (low, high) in spans.items()}


def statistic_ranges(data: Dataset, ids: Sequence[str], normalisation: Normalisation) -> Ranges:
    """Return the range of each of the `image_statistics`; {} for few images."""
    if len(ids) < FEWEST:
        return {}
    chosen = np.unique(np.linspace(0, len(ids) - 1, min(len(ids), MOST_IMAGES)).astype(int))
    sources = (data.source(ids[index]) for index in chosen.tolist())
    return ranges(
        image_statistics(source, normalisation)
        for source in sources
        if not source.statistics.is_blank
    )

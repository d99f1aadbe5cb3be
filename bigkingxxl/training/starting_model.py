"""The starting model of a run: its weights and, for fine-tuning, its prediction settings."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor, nn

from bigkingxxl.data.dataset import Dataset
from bigkingxxl.data.label_policy import LabelPolicy, apply_policy
from bigkingxxl.errors import InputError
from bigkingxxl.geometry import disc_diameter
from bigkingxxl.methods.base import DenseMethod, Method
from bigkingxxl.model_card import ModelCard
from bigkingxxl.model_files import Model, load_model, mismatches, resolve_model
from bigkingxxl.operating_points import ZOOM, OperatingPoint, OperatingPoints, without_zoom
from bigkingxxl.training.recipe import Recipe

log = logging.getLogger(__name__)

SCALES = (0.05, 6.0)  # beyond these scales, cells or images would be too small


@dataclass(frozen=True, eq=False)
class Start:
    """The starting model of a run, and its file."""

    path: Path
    model: Model


def load_start(recipe: Recipe) -> Start | None:
    """Load the `init` of a recipe, or return None without one.

    Raises:
        ModelError: The model is missing or damaged.
        InputError: The model has another method.
    """
    if recipe.init is None:
        return None
    path = resolve_model(recipe.init)
    model = load_model(path)
    if model.card.method != recipe.method:
        raise InputError(
            f"{path} is a model of the method '{model.card.method}', but the recipe trains "
            f"'{recipe.method}': choose another --init, or add --set method={model.card.method}",
            file=path, key="method", found=model.card.method, expected=recipe.method,
        )  # fmt: skip
    return Start(path, model)


@dataclass(frozen=True)
class CellSizes:
    """The properties of a data set's cells that adaptation needs.

    Attributes:
        median_diameter: The diameter, in pixels, of a disc of their median area.
        mixed: Whether an image contains cells of more than one type.
    """

    median_diameter: float
    mixed: bool


def cell_sizes(data: Dataset, ids: Sequence[str], policy: LabelPolicy) -> CellSizes:
    """Measure the annotated cells of some images, as training uses them."""
    cells = [apply_policy(data.instances(image_id), policy) for image_id in ids]
    areas = np.concatenate([each.areas() for each in cells])
    if len(areas) == 0:
        raise InputError(
            f"{data.root}: the images to train on have no annotated cells", file=data.root
        )
    mixed = any(len(np.unique(each.cell_type)) > 1 for each in cells)
    return CellSizes(float(disc_diameter(np.median(areas))), mixed)


def adapted(recipe: Recipe, model: Model, sizes: CellSizes) -> Recipe:
    """Complete the recipe with values from the starting model.

    Prediction and zooms are scaled so that the network sees cells of a size that it knows.
    """
    card = model.card
    if measures_size(model):
        return adapted_by_size(recipe, model)
    ratio = known_diameter(card, sizes.median_diameter) / sizes.median_diameter
    scale = float(np.clip(card.prediction.scale * ratio, *SCALES))
    own = recipe.model_fields_set
    chosen = recipe.prediction.model_dump(exclude_unset=True)
    prediction = card.prediction.changed(**{"scale": scale, **chosen})
    low, high = recipe.augment.zoom
    zoom = (low, high)
    if recipe.augment.diameter is None:
        zoom = (low * prediction.scale, high * prediction.scale)
    points = adapted_points(model, 1 / ratio, sizes.mixed)
    # The complete recipe in the run folder can be run again without adapting anything.
    return recipe.changed(
        adapt=False,
        prediction=prediction.model_dump(),
        augment=recipe.augment.changed(zoom=zoom).model_dump(),
        normalisation=(recipe if "normalisation" in own else card).normalisation.model_dump(),
        operating_points=(
            recipe.operating_points if "operating_points" in own else points
        ).model_dump(),
    )


def measures_size(model: Model) -> bool:
    """Return whether a model scales every image to one cell size and measures it."""
    method = model.method
    has_map = isinstance(method, DenseMethod) and method.representation.size_map is not None
    return has_map and model.card.median_diameter is not None


def adapted_by_size(recipe: Recipe, model: Model) -> Recipe:
    """Complete the recipe for a model that measures the cell size of images.

    Its settings are unchanged; each image is scaled by its annotated cells.
    """
    card, own = model.card, recipe.model_fields_set
    prediction = card.prediction.changed(**recipe.prediction.model_dump(exclude_unset=True))
    diameter = (card.median_diameter or 1.0) * prediction.scale
    points = card.operating_points.changed(tuned_on=())
    augment = recipe.augment
    if augment.diameter is None:
        by_width = isinstance(model.method, DenseMethod) and (
            model.method.representation.width_map is not None
        )
        how = "width" if by_width else "image"
        augment = augment.changed(diameter=diameter, diameter_of=how)
    return recipe.changed(
        adapt=False,
        prediction=prediction.model_dump(),
        augment=augment.model_dump(),
        normalisation=(recipe if "normalisation" in own else card).normalisation.model_dump(),
        operating_points=(
            recipe.operating_points if "operating_points" in own else points
        ).model_dump(),
    )


def known_diameter(card: ModelCard, diameter: float) -> float:
    """Return the diameter of the model's training cells nearest to `diameter`, in pixels."""
    if not card.image_diameters:
        return card.median_diameter or diameter
    lows, highs = zip(*card.image_diameters.values(), strict=True)
    return float(np.clip(diameter, min(lows), max(highs)))


def adapted_points(model: Model, zoom: float, mixed: bool) -> OperatingPoints:
    """Return a model's operating points for images whose cells are `zoom` times as large.

    The parameters of types were tuned for the old weights and scores. For types of the same name
    they are kept as the best guess, but they do not count as tuned.
    """
    points = model.card.operating_points
    return OperatingPoints(
        by_type={name: _resized(each, model, zoom) for name, each in points.by_type.items()},
        default=_resized(points.default, model, zoom),
        type_vote="cell" if mixed else points.type_vote,
    )


def _resized(point: OperatingPoint, model: Model, zoom: float) -> OperatingPoint:
    decode = point.decode
    if isinstance(model.method, DenseMethod):
        own = dict(model.method.representation.parameters_at(without_zoom(decode), zoom))
        decode = {**own, **({ZOOM: decode[ZOOM]} if ZOOM in decode else {})}
    least = point.select.minimum_area * zoom**2
    return OperatingPoint(decode=decode, select=point.select.changed(minimum_area=least))


def warn_of_new_maps(method: Method, start: Start) -> None:
    """Warn of maps that the starting model lacks, apart from those of cell types."""
    before = start.model.method
    if not (isinstance(method, DenseMethod) and isinstance(before, DenseMethod)):
        return
    types = tuple(f"_{name}" for name in method.type_names)
    known = before.output_maps
    new = [name for name in method.output_maps if name not in known and not name.endswith(types)]
    if new:
        log.warning("%s has no maps of %s: they are learnt from the beginning", start.path,
                    " and ".join(new))  # fmt: skip


def take_weights(network: nn.Module, method: Method, start: Start) -> None:
    """Load the weights of another model of the same method into a new network.

    Only parts that belong to cell types may differ. In a dense network, an existing map keeps its
    weights, and a new cell type starts from the mean of the old types. In a detector, the rows of
    existing types are kept, and those of new types are initialised.

    Raises:
        InputError: Other weights do not fit; the first is named.
    """
    own, weights = network.state_dict(), dict(start.model.network.state_dict())
    old = start.model.method
    if isinstance(method, DenseMethod) and isinstance(old, DenseMethod):
        for name in own:
            if name.startswith(f"{method.output_layer}."):
                # A model of one type may lack a layer that distinguishes types.
                before = weights.get(name)
                weights[name] = own[name] if before is None else _matched_rows(
                    own[name], before, method, old
                )  # fmt: skip
    elif method.type_names != old.type_names:
        for name in own:
            if method.rows_by_type(name) and name in weights:
                weights[name] = rows_of_types(
                    own[name], weights[name], method.type_names, old.type_names
                )
    problems = mismatches(own, weights)
    if problems:
        raise InputError(f"{start.path} does not fit the recipe's network: {problems[0]}",
                         file=start.path, found=tuple(problems))  # fmt: skip
    network.load_state_dict({name: weights[name] for name in own})


def _matched_rows(own: Tensor, old: Tensor, method: DenseMethod, before: DenseMethod) -> Tensor:
    """Return the rows of an output layer for the maps of another set of types."""
    names, old_names = list(method.output_maps), list(before.output_maps)
    if own.shape[1:] != old.shape[1:]:
        return old
    blocks = old.reshape(len(old_names), -1, *old.shape[1:])
    rows = own.clone().reshape(len(names), -1, *own.shape[1:])
    if rows.shape[1] != blocks.shape[1]:
        return old
    for index, name in enumerate(names):
        alike = _alike(name, method.type_names, before.type_names)
        found = [old_names.index(each) for each in alike if each in old_names]
        if name in old_names:
            rows[index] = blocks[old_names.index(name)]
        elif found:
            rows[index] = blocks[found].mean(dim=0)
    return rows.reshape(own.shape)


def rows_of_types(
    own: Tensor, old: Tensor, type_names: Sequence[str], old_type_names: Sequence[str]
) -> Tensor:
    """Return a layer's rows of background and common types from the old one, else its own rows.

    Weights that differ in more than rows are returned unchanged.
    """
    names = ("", *type_names)
    known = {name: place for place, name in enumerate(("", *old_type_names))}
    if len(old) % len(known):
        return old
    rows = own.clone().reshape(len(names), -1, *own.shape[1:])
    blocks = old.reshape(len(known), -1, *old.shape[1:])
    if rows.shape[1:] != blocks.shape[1:]:
        return old
    for index, name in enumerate(names):
        if name in known:
            rows[index] = blocks[known[name]]
    return rows.reshape(own.shape)


def _alike(name: str, types: Sequence[str], old_types: Sequence[str]) -> list[str]:
    """Return the names of a cell type's map for the old types; () for a map without a type."""
    return [
        f"{name.removesuffix(own)}{old}"
        for own in types
        if name.endswith(f"_{own}")
        for old in old_types
    ]

"""What a run starts from: another model's weights, and for one's own cells its way of looking."""

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
from bigkingxxl.models import Model, ModelCard, load_model, mismatches, resolve_model
from bigkingxxl.operating_points import ZOOM, OperatingPoint, OperatingPoints, without_zoom
from bigkingxxl.training.recipe import Recipe

log = logging.getLogger(__name__)

SCALES = (0.05, 6.0)  # beyond them hardly a cell, or hardly an image, is left to look at


@dataclass(frozen=True, eq=False)
class Start:
    """The model that a run starts from, and its file."""

    path: Path
    model: Model


def load_start(recipe: Recipe) -> Start | None:
    """The recipe's `init`, or None where it starts from scratch.

    Raises:
        ModelError: there is no such model, or it is damaged.
        InputError: it is a model of another method.
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
    """What adapting to a data set asks about its cells.

    Attributes:
        median_diameter: of a disc of their median area, in pixels.
        mixed: True where an image holds cells of more than one type.
    """

    median_diameter: float
    mixed: bool


def cell_sizes(data: Dataset, ids: Sequence[str], policy: LabelPolicy) -> CellSizes:
    """Of the annotated cells of some images, as training sees them."""
    cells = [apply_policy(data.instances(image_id), policy) for image_id in ids]
    areas = np.concatenate([each.areas() for each in cells])
    if len(areas) == 0:
        raise InputError(
            f"{data.root}: the images to train on have no annotated cells", file=data.root
        )
    mixed = any(len(np.unique(each.cell_type)) > 1 for each in cells)
    return CellSizes(float(disc_diameter(np.median(areas))), mixed)


def adapted(recipe: Recipe, model: Model, sizes: CellSizes) -> Recipe:
    """The recipe with all that it leaves open taken from the model it starts from.

    Prediction and zooms are scaled so that the network sees cells of a size it knows.
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
    # Nothing is left to adapt: the recipe that the run folder keeps can be run again as it is.
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
    """Whether a model brings every image to one size of cells, and tells which it shows."""
    method = model.method
    has_map = isinstance(method, DenseMethod) and method.representation.size_map is not None
    return has_map and model.card.median_diameter is not None


def adapted_by_size(recipe: Recipe, model: Model) -> Recipe:
    """The same for a model that knows one size of cells and tells which one an image shows.

    It looks as before; each image is brought to its size by the cells that are annotated there.
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
    """The diameter nearest to one, in pixels, of cells that a model was trained on."""
    if not card.image_diameters:
        return card.median_diameter or diameter
    lows, highs = zip(*card.image_diameters.values(), strict=True)
    return float(np.clip(diameter, min(lows), max(highs)))


def adapted_points(model: Model, zoom: float, mixed: bool) -> OperatingPoints:
    """A model's operating points for images that show cells `zoom` times as large.

    What types have of their own was tuned for the old weights and their scores; it stays for types
    of the same name, as the best guess there is, but does not count as tuned.
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


def take_weights(network: nn.Module, method: Method, start: Start) -> None:
    """Give a fresh network the weights of another model of its method.

    Only what belongs to cell types may differ. In a dense network a map that the model has keeps
    its weights, and one of a cell type new to it starts from the mean of its types; in a detector
    rows of the same type are kept, and those of a new type start afresh.

    Raises:
        InputError: other weights do not fit; the first is named.
    """
    own, weights = network.state_dict(), dict(start.model.network.state_dict())
    old = start.model.method
    if isinstance(method, DenseMethod) and isinstance(old, DenseMethod):
        for name in own:
            if name.startswith(f"{method.output_layer}."):
                # A model of one type may lack a layer that tells types apart.
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
    """The rows of an output layer, block by block, for the maps of another set of types."""
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
    """A layer's rows of background and types that the old one has, its own rows for the others.

    Weights that differ in more than rows are returned as they are.
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
    """The names that a cell type's map has for the old types; empty for a map of no type."""
    return [
        f"{name.removesuffix(own)}{old}"
        for own in types
        if name.endswith(f"_{own}")
        for old in old_types
    ]

"""Import the weights of a published detector as a model that predicts the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from bigkingxxl.errors import InputError, ModelError
from bigkingxxl.files import file_hash
from bigkingxxl.methods.base import Method
from bigkingxxl.methods.registry import make_method
from bigkingxxl.model_card import ModelCard
from bigkingxxl.model_files import mismatches, save_model
from bigkingxxl.networks.pretrained import SUFFIXES, read_weights
from bigkingxxl.networks.torchvision_names import TYPES, our_name, published_types
from bigkingxxl.provenance import provenance
from bigkingxxl.training.recipe import Recipe
from bigkingxxl.training.starting_model import rows_of_types

OFFERED = "torchvision"
METHOD = "mask_rcnn"
STEM = "backbone.body.conv1.weight"
# Their rows stand for anchors, types or masks, whose number may differ.
PREDICTORS = (".predictor.", "rpn.head.cls_logits.", "rpn.head.bbox_pred.")
COUNTER = ".num_batches_tracked"
# torchvision runs its published detector with the frozen norms of its training, without adding
# anything to the variances (see `overwrite_eps` there); the files do not record this.
PUBLISHED_EPS = 0.0
NAMED = 3  # mismatches that an error names

Action = Literal["used", "renamed", "re-made", "left"]
ACTIONS: tuple[Action, ...] = ("used", "renamed", "re-made", "left")


@dataclass(frozen=True)
class Line:
    """What happened to a tensor.

    Attributes:
        action: used unchanged, renamed, converted (other values), or left out.
        source: The name in the file; '' if there is none.
        name: The name in the model; '' if there is none.
        shape: The shape in the model, or in the file if it is left out.
        note: Why, and how it was converted.
    """

    action: Action
    source: str
    name: str
    shape: tuple[int, ...]
    note: str = ""


@dataclass(frozen=True)
class Imported:
    """A model that was made from a file of weights.

    Attributes:
        type_names: The cell types of the model.
        lines: One entry for each tensor of the model and each tensor that is left out.
    """

    type_names: tuple[str, ...]
    lines: tuple[Line, ...]

    @property
    def counts(self) -> dict[str, int]:
        """Count the tensors by what happened to them."""
        counts = Counter(line.action for line in self.lines)
        return {action: counts[action] for action in ACTIONS}


def import_weights(
    file: Path,
    recipe: Recipe,
    out: Path,
    *,
    source: str = OFFERED,
    types: Sequence[str] = (),
    file_types: Sequence[str] = (),
    norm_eps: float | None = None,
) -> Imported:
    """Write a model with the weights of torchvision's Mask R-CNN, read without running code.

    Args:
        file: The file of weights.
        recipe: A recipe whose network fits the file except for image channels, types and anchors.
        out: The model file.
        source: The kind of the file.
        types: The cell types of the model; those with the same name in the file keep their weights.
            By default those of the file, so that the model predicts the same as torchvision's.
        file_types: The types of the file in order; by default those of COCO if there are 90.
        norm_eps: The value that torchvision added to the variances of frozen norms; by default 0 if
            all norms are frozen, as in the published file, else 1e-5.

    Raises:
        InputError: The source is unknown, the file does not exist, or the types do not fit.
        ModelError: The file is damaged or has another architecture; the first mismatches are named.
    """
    _check(file, recipe, source)
    stored = read_weights(str(file))
    given = {our_name(name): tensor for name, tensor in stored.items()}
    sources = {our_name(name): name for name in stored}
    old_types = _types_of_file(file, given, tuple(file_types))
    method = make_method(recipe.method, recipe.settings, unique(tuple(types)) or old_types)
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(recipe.seed)
        network = method.build()
    notes = _with_own_eps(network, given, norm_eps)
    weights: dict[str, Tensor] = {}
    for name, own in network.state_dict().items():
        if name in given:
            weights[name], note = _made(name, own, given[name], method, old_types)
            notes[name] = "; ".join(filter(None, (notes.get(name), note)))
        elif name.endswith(COUNTER):
            weights[name], notes[name] = own, "not in the file: counts from 0"
    counters = _left_counters(network, given, sources)
    _refuse_misfits(file, network, weights, given, sources, counters)
    save_model(out, _card(recipe, method, file), weights)
    lines = [_line(sources.get(name, ""), name, weights[name], notes.get(name, ""))
             for name in network.state_dict()]  # fmt: skip
    return Imported(method.type_names, (*lines, *counters))


def _check(file: Path, recipe: Recipe, source: str) -> None:
    if source != OFFERED:
        raise InputError(
            f"weights from '{source}' cannot be imported: only torchvision's Mask R-CNN and "
            "cellpose are supported, because only their outputs were verified to stay the same",
            key="source",
            found=source,
            expected=("torchvision", "cellpose"),
        )
    if recipe.method != METHOD:
        raise InputError(
            f"the recipe trains '{recipe.method}', expected '{METHOD}'",
            key="method",
            found=recipe.method,
            expected=METHOD,
        )
    if file.suffix not in SUFFIXES:
        raise InputError(
            f"{file} is not a file of weights, expected {', '.join(SUFFIXES)}",
            file=file,
            expected=tuple(SUFFIXES),
        )


def _types_of_file(
    file: Path, given: dict[str, Tensor], declared: tuple[str, ...]
) -> tuple[str, ...]:
    """Return the types of the file: as given, those of COCO, or numbers."""
    published = published_types()
    count = len(given[TYPES]) - 1 if TYPES in given else len(published)
    if declared and len(declared) != count:
        raise InputError(
            f"{file} distinguishes {count} cell types, but {len(declared)} are named",
            file=file,
            key="cell_types",
            found=len(declared),
            expected=count,
        )
    if declared:
        return unique(declared)
    return published if count == len(published) else tuple(f"type_{k + 1}" for k in range(count))


def unique(names: tuple[str, ...]) -> tuple[str, ...]:
    """Check the names of cell types: each must be a name and unique.

    Raises:
        InputError: One is not.
    """
    repeated = [name for name, count in Counter(names).items() if count > 1 or not name]
    if repeated:
        raise InputError(
            f"the type '{repeated[0]}' is empty or named twice", key="cell_types", found=repeated[0]
        )
    return names


def _with_own_eps(
    network: nn.Module, given: dict[str, Tensor], eps: float | None
) -> dict[str, str]:
    """Adapt the weights of frozen norms to another epsilon; return notes by name."""
    if eps is None:
        counted = any(name.endswith(COUNTER) for name in given)
        eps = None if counted else PUBLISHED_EPS
    notes: dict[str, str] = {}
    for name, layer in network.named_modules():
        variance, weight = given.get(f"{name}.running_var"), given.get(f"{name}.weight")
        own = getattr(layer, "eps", None)
        frozen = f"{name}{COUNTER}" not in given
        if eps is None or own is None or own == eps or variance is None or weight is None:
            continue
        if frozen and variance.shape == weight.shape:
            ratio = (variance.double() + own) / (variance.double() + eps)
            given[f"{name}.weight"] = (weight.double() * ratio.sqrt()).to(weight.dtype)
            notes[f"{name}.weight"] = f"scaled: variances + {eps:g} there, + {own:g} here"
    return notes


def _made(
    name: str, own: Tensor, given: Tensor, method: Method, old_types: tuple[str, ...]
) -> tuple[Tensor, str]:
    """Convert a tensor of the file for the network; the note is '' if it is unchanged."""
    if method.rows_by_type(name) and method.type_names != old_types:
        kept = [each for each in method.type_names if each in old_types]
        fresh = [each for each in method.type_names if each not in old_types]
        note = f"rows of {_listed(['background', *kept])} kept"
        note += f", of {_listed(fresh)} afresh" if fresh else ""
        return rows_of_types(own, given, method.type_names, old_types), note
    if given.shape == own.shape:
        return given, ""
    if name == STEM and given.shape[1] == 3 and given[:, 0].shape == own[:, 0].shape:
        # The sum of the three channels' weights gives the same result for a grey image.
        channels = own.shape[1]
        how = "summed" if channels == 1 else f"summed and spread over {channels}"
        summed = given.sum(dim=1, keepdim=True) / channels
        return summed.repeat(1, channels, 1, 1), f"3 channels {how}"
    if any(part in name for part in PREDICTORS) and given.shape[1:] == own.shape[1:]:
        return own, f"afresh: {len(given)} rows there, {len(own)} here"
    return given, ""


def _listed(names: Sequence[str]) -> str:
    few = ", ".join(names[:4])
    return few if len(names) <= 4 else f"{few} and {len(names) - 4} more"


def _left_counters(
    network: nn.Module, given: dict[str, Tensor], sources: dict[str, str]
) -> list[Line]:
    """Return the batch counters of the file if the norms of the network are frozen."""
    own = network.state_dict()
    note = "a frozen norm counts no batches"
    return [
        Line("left", sources[name], "", tuple(tensor.shape), note)
        for name, tensor in given.items()
        if name.endswith(COUNTER)
        and name not in own
        and f"{name.removesuffix(COUNTER)}.running_var" in own
    ]


def _refuse_misfits(
    file: Path,
    network: nn.Module,
    weights: dict[str, Tensor],
    given: dict[str, Tensor],
    sources: dict[str, str],
    counters: list[Line],
) -> None:
    """Report mismatches: a network without a part of the file would compute something else."""
    own = network.state_dict()
    left = {line.source for line in counters}
    problems = mismatches(own, weights)
    problems += [
        f"'{sources[name]}' has no place in it"
        for name in given
        if name not in own and sources[name] not in left
    ]
    if problems:
        more = f"; and {len(problems) - NAMED} more" if len(problems) > NAMED else ""
        raise ModelError(
            f"{file} does not fit the recipe's network: {'; '.join(problems[:NAMED])}{more}",
            file=file,
            found=tuple(problems),
        )
    for name, tensor in weights.items():
        if not torch.isfinite(tensor).all():
            raise ModelError(
                f"{file}: '{sources[name]}' contains values that are not numbers",
                file=file,
                key=sources[name],
            )


def _line(source: str, name: str, tensor: Tensor, note: str) -> Line:
    action: Action = "re-made" if note else "used" if source == name else "renamed"
    return Line(action, source, name, tuple(tensor.shape), note)


def _card(recipe: Recipe, method: Method, file: Path) -> ModelCard:
    made = {"from": OFFERED, "file": file.name, "sha256": file_hash(file)}
    return ModelCard(
        method=recipe.method,
        settings=method.settings.model_dump(),
        type_names=method.type_names,
        image_channels=method.settings.image_channels,
        normalisation=recipe.normalisation,
        prediction=recipe.prediction,
        operating_points=recipe.operating_points,
        provenance={**provenance(recipe.seed), "imported": made},
    )

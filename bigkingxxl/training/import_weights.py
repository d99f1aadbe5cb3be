"""A published detector's weights as a model of ours: it sees the same, and training can start."""

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
from bigkingxxl.models import ModelCard, mismatches, save_model
from bigkingxxl.networks.pretrained import SUFFIXES, read_weights
from bigkingxxl.networks.torchvision_names import TYPES, our_name, published_types
from bigkingxxl.provenance import provenance
from bigkingxxl.training.recipe import Recipe
from bigkingxxl.training.start import rows_of_types

OFFERED = "torchvision"
METHOD = "mask_rcnn"
STEM = "backbone.body.conv1.weight"
# Their rows stand for anchors, types or masks, of which another network has another number.
PREDICTORS = (".predictor.", "rpn.head.cls_logits.", "rpn.head.bbox_pred.")
COUNTER = ".num_batches_tracked"
# torchvision runs its published detector with frozen norms as it was trained: nothing is added to
# their variances. Its `overwrite_eps` does so; files say nothing of it.
PUBLISHED_EPS = 0.0
NAMED = 3  # problems that an error names

Action = Literal["used", "renamed", "re-made", "left"]
ACTIONS: tuple[Action, ...] = ("used", "renamed", "re-made", "left")


@dataclass(frozen=True)
class Line:
    """What became of one tensor.

    Attributes:
        action: used as it is, renamed, re-made (other values), or left out.
        source, name: in the file and in the model, '' where there is none.
        shape: in the model, of what is left in the file; note: why, and how it was made.
    """

    action: Action
    source: str
    name: str
    shape: tuple[int, ...]
    note: str = ""


@dataclass(frozen=True)
class Imported:
    """A model that was made of a file of weights.

    Attributes:
        type_names: of the model; lines: one for each tensor of the model and each that is left.
    """

    type_names: tuple[str, ...]
    lines: tuple[Line, ...]

    @property
    def counts(self) -> dict[str, int]:
        """Tensors by what became of them."""
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
        recipe: whose network fits the file but for image channels, types and anchors.
        types: of the model; those of the file that have the same names keep their weights. By
            default the file's own, and the model says the same as torchvision's.
        file_types: names of the file's types in order; by default COCO's where there are 90.
        norm_eps: what torchvision added to the variances of frozen norms; by default nothing where
            all norms are frozen, as in the published file, else 1e-5.
    Raises:
        InputError: another source, no such file, types that do not fit.
        ModelError: a file that is damaged or of another architecture; the first mismatches are
            named.
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
            "cellpose are offered, because only with them were outputs shown to stay the same",
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
            f"{file} is no file of weights, expected {', '.join(SUFFIXES)}",
            file=file,
            expected=tuple(SUFFIXES),
        )


def _types_of_file(
    file: Path, given: dict[str, Tensor], declared: tuple[str, ...]
) -> tuple[str, ...]:
    """The file's types: as declared, COCO's, or numbered."""
    published = published_types()
    count = len(given[TYPES]) - 1 if TYPES in given else len(published)
    if declared and len(declared) != count:
        raise InputError(
            f"{file} tells {count} types apart, but {len(declared)} are named",
            file=file,
            key="cell_types",
            found=len(declared),
            expected=count,
        )
    if declared:
        return unique(declared)
    return published if count == len(published) else tuple(f"type_{k + 1}" for k in range(count))


def unique(names: tuple[str, ...]) -> tuple[str, ...]:
    """The names of cell types, if each is a name and there once.

    Raises:
        InputError: one is not.
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
    """Let the weights of frozen norms make up for another epsilon; notes by name."""
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
    """The tensor for the network and how it was made of the file's, '' where it is the same."""
    if method.rows_by_type(name) and method.type_names != old_types:
        kept = [each for each in method.type_names if each in old_types]
        fresh = [each for each in method.type_names if each not in old_types]
        note = f"rows of {_listed(['background', *kept])} kept"
        note += f", of {_listed(fresh)} afresh" if fresh else ""
        return rows_of_types(own, given, method.type_names, old_types), note
    if given.shape == own.shape:
        return given, ""
    if name == STEM and given.shape[1] == 3 and given[:, 0].shape == own[:, 0].shape:
        # A grey image, however many times it is repeated, is seen as its three copies were.
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
    """The file's counters of batches where the network's norms are frozen."""
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
    """Name what does not fit: a network that lacks a part of the file would see something else."""
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
                f"{file}: '{sources[name]}' holds values that are no numbers",
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

"""A set of models with weights, kept as one small file that is named wherever a model is.

The file lists its members by path, seen from its own folder, or by shipped name, and remembers what
each of them was: a member that has changed since is refused, not used in silence. Once it is tuned,
it has operating points of its own, and maybe a test-time augmentation for all of its members.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from bigkingxxl.errors import InputError, ModelError, SettingsError
from bigkingxxl.files import write_json
from bigkingxxl.inference.ensemble import joint_types
from bigkingxxl.inference.fusion import checked_weights
from bigkingxxl.models import model_hash, read_card, resolve_model
from bigkingxxl.operating_points import OperatingPoints
from bigkingxxl.settings import Settings, checked
from bigkingxxl.shipped import SHIPPED, shipped_model
from bigkingxxl.test_time_augmentation import Augmentations

SUFFIX = ".ensemble"
FORMAT = "bigkingxxl-ensemble-1"
TUNED_FORMAT = "bigkingxxl-ensemble-2"  # with what earlier versions would disregard


@dataclass(frozen=True)
class Members:
    """The models that are joined, and what is decided for all of them.

    Attributes:
        files: of the models; weights: how much each of them counts.
        points: operating points in the place of those of the first models; None keeps these.
        tta: test-time augmentation in the place of each model's own; None keeps it.
    """

    files: tuple[Path, ...]
    weights: tuple[float, ...]
    points: OperatingPoints | None = None
    tta: tuple[str, ...] | None = None

    @property
    def changes(self) -> dict[str, Any]:
        """Of the models' prediction settings."""
        return {} if self.tta is None else {"tta": self.tta}

    def changed(self, weights: Sequence[float] | None = None, **values: Any) -> Members:
        """A checked copy.

        Raises:
            InputError: weights that do not fit.
        """
        if weights is not None:
            values["weights"] = tuple(checked_weights(len(self.files), weights).tolist())
        return replace(self, **values)


class EnsembleMember(Settings):
    """One model of an ensemble's file.

    Attributes:
        model: a shipped name, or a path seen from the file's folder.
        weight: how much it counts; hash: what the model was.
    """

    model: str
    weight: float = Field(gt=0)
    hash: str


class EnsembleContent(Settings):
    """What an ensemble's file holds; see `Members`."""

    format: Literal["bigkingxxl-ensemble-1", "bigkingxxl-ensemble-2"]
    members: tuple[EnsembleMember, ...] = Field(min_length=1)
    operating_points: OperatingPoints | None = None
    tta: Augmentations | None = None


def write_ensemble(
    path: Path, models: Sequence[str | Path], weights: Sequence[float] | None = None,
    *, points: OperatingPoints | None = None, tta: Sequence[str] | None = None,
) -> None:  # fmt: skip
    """Keep models and their weights as one file.

    Args:
        models: files, shipped names, or other ensembles, whose members it then has.
        points, tta: for all of them, see `Members`; by default those of the first one named, where
            that is an ensemble.

    Raises:
        InputError: weights that do not fit, or another ending than `.ensemble`; ModelError: a
            model that is missing or no model; OutputError: the file cannot be written.
    """
    if path.suffix.lower() != SUFFIX:
        raise InputError(f"{path}: an ensemble is kept as {path.with_suffix(SUFFIX).name}")
    found = members_of(models, weights)
    points = found.points if points is None else points
    tta = found.tta if tta is None else tta
    joint_types([read_card(file).type_names for file in found.files])
    members = [
        {
            "model": _shipped_name(file) or _seen_from(file, path),
            "weight": weight,
            "hash": model_hash(file),
        }
        for file, weight in zip(found.files, found.weights, strict=True)
    ]
    is_plain = points is None and tta is None
    content: dict[str, Any] = {"format": FORMAT if is_plain else TUNED_FORMAT, "members": members}
    if points is not None:
        content["operating_points"] = points.model_dump(mode="json")
    if tta is not None:
        content["tta"] = list(tta)
    write_json(path, content)


def _shipped_name(file: Path) -> str | None:
    """The name of a shipped model that stands for the very file."""
    return next((name for name, model in SHIPPED.items() if model.path == file), None)


def _seen_from(file: Path, ensemble: Path) -> str:
    try:
        return os.path.relpath(file.resolve(), ensemble.resolve().parent)
    except ValueError:  # another drive
        return str(file.resolve())


def members_of(names: Sequence[str | Path], weights: Sequence[float] | None = None) -> Members:
    """The model files that names stand for, ensembles by their members, and all weights.

    Args:
        names: of models and ensembles; weights: of each name, by default 1. The members of an
            ensemble share its weight as the file says. What the first name decides for its
            members, where it is an ensemble, holds for all: its operating points; and its
            augmentation where it is alone.

    Raises:
        InputError: weights that do not fit; ModelError: what is named is no model, or has changed
            since the ensemble was made.
    """
    files: list[Path] = []
    shares: list[float] = []
    own: list[Members | None] = []
    for name, weight in zip(names, checked_weights(len(names), weights).tolist(), strict=True):
        if not is_ensemble(name):
            files.append(resolve_model(name))
            shares.append(weight)
            own.append(None)
            continue
        members = read_ensemble(Path(name))
        own.append(members)
        files += members.files
        # Alone it is as it was written; beside others it counts as one model of its weight.
        scale = 1.0 if len(names) == 1 else weight / sum(members.weights)
        shares += [share * scale for share in members.weights]
    first = own[0]
    alike = {None if each is None else each.tta for each in own}
    return Members(
        tuple(files), tuple(shares), None if first is None else first.points,
        alike.pop() if len(alike) == 1 else None,
    )  # fmt: skip


def named_members(
    names: list[str], weights: list[float] | None
) -> tuple[list[str], list[float] | None, Members]:
    """Names and weights with the members of ensembles in their place, and what they stand for.

    Raises:
        InputError, ModelError: see `members_of`.
    """
    found = members_of(names, weights)
    if not any(map(is_ensemble, names)):
        return names, weights, found
    return list(map(str, found.files)), list(found.weights), found


def is_ensemble(name: str | Path) -> bool:
    """Whether a name is that of an ensemble's file."""
    return Path(name).suffix.lower() == SUFFIX


def read_ensemble(path: Path) -> Members:
    """The models of an ensemble's file, and what is decided for them.

    Raises:
        ModelError: the file is missing or damaged, or a member is missing or has changed.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"{path}: no such ensemble ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is no ensemble: it is not JSON") from error
    if not isinstance(found, dict) or "members" not in found:
        raise ModelError(f"{path} is no ensemble that `bigkingxxl ensemble` wrote")
    try:
        content = checked(EnsembleContent, found, where=str(path))
    except SettingsError as error:
        raise ModelError(f"{error}: it is damaged, or of another version") from error
    files = tuple(_file_of(path, each) for each in content.members)
    weights = tuple(each.weight for each in content.members)
    return Members(files, weights, content.operating_points, content.tta)


def _file_of(path: Path, member: EnsembleMember) -> Path:
    name = member.model
    try:
        file = resolve_model(name if shipped_model(name) is not None else path.parent / name)
    except ModelError as error:
        raise ModelError(
            f"{path}: its member {name} is not there: move the file and its models together, or "
            "make the ensemble again"
        ) from error
    if model_hash(file) != member.hash:
        raise ModelError(
            f"{path}: its member {file} is not the model that it was made of: make the ensemble "
            "again"
        )
    return file

"""Ensemble files: a small file that lists models and weights and can be used wherever a model can.

The members are listed by path, relative to the folder of the file, or by the name of a shipped
model. Their hashes are recorded, and a member that has changed since is refused. A tuned ensemble
has operating points of its own, and possibly a test-time augmentation for all members.
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
from bigkingxxl.model_files import model_hash, read_card, resolve_model
from bigkingxxl.operating_points import OperatingPoints
from bigkingxxl.settings import Settings, checked
from bigkingxxl.shipped_models import SHIPPED, shipped_model
from bigkingxxl.test_time_augmentation import Augmentations

SUFFIX = ".ensemble"
FORMAT = "bigkingxxl-ensemble-1"
TUNED_FORMAT = "bigkingxxl-ensemble-2"  # with fields that earlier versions would ignore


@dataclass(frozen=True)
class Members:
    """The models of an ensemble, and the settings that apply to all of them.

    Attributes:
        files: The model files.
        weights: The weight of each model.
        points: Operating points that replace those of the models; None keeps these.
        tta: Test-time augmentation that replaces that of each model; None keeps it.
    """

    files: tuple[Path, ...]
    weights: tuple[float, ...]
    points: OperatingPoints | None = None
    tta: tuple[str, ...] | None = None

    @property
    def changes(self) -> dict[str, Any]:
        """The changes to the prediction settings of the models."""
        return {} if self.tta is None else {"tta": self.tta}

    def changed(self, weights: Sequence[float] | None = None, **values: Any) -> Members:
        """Return a validated copy with some values replaced.

        Raises:
            InputError: The weights do not fit the models.
        """
        if weights is not None:
            values["weights"] = tuple(checked_weights(len(self.files), weights).tolist())
        return replace(self, **values)


class EnsembleMember(Settings):
    """A model in an ensemble file.

    Attributes:
        model: The name of a shipped model, or a path relative to the folder of the file.
        weight: The weight of the model.
        hash: The hash of the model file.
    """

    model: str
    weight: float = Field(gt=0)
    hash: str


class EnsembleContent(Settings):
    """The content of an ensemble file; see `Members`."""

    format: Literal["bigkingxxl-ensemble-1", "bigkingxxl-ensemble-2"]
    members: tuple[EnsembleMember, ...] = Field(min_length=1)
    operating_points: OperatingPoints | None = None
    tta: Augmentations | None = None


def write_ensemble(
    path: Path, models: Sequence[str | Path], weights: Sequence[float] | None = None,
    *, points: OperatingPoints | None = None, tta: Sequence[str] | None = None,
) -> None:  # fmt: skip
    """Write models and their weights to an ensemble file.

    Args:
        path: The file, which ends in `.ensemble`.
        models: Model files, names of shipped models, or ensembles, whose members are added.
        weights: The weight of each; by default they are equal.
        points: Operating points for all members; by default those of the first model, if it is an
            ensemble.
        tta: Test-time augmentation for all members; by default that of the first model, if it is an
            ensemble.

    Raises:
        InputError: The weights do not fit, or the ending is not `.ensemble`.
        ModelError: A model is missing or is not a model.
        OutputError: The file cannot be written.
    """
    if path.suffix.lower() != SUFFIX:
        raise InputError(
            f"{path}: an ensemble is kept as {path.with_suffix(SUFFIX).name}",
            file=path,
            expected=SUFFIX,
        )
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
    """Return the name of the shipped model that has this file, or None."""
    return next((name for name, model in SHIPPED.items() if model.path == file), None)


def _seen_from(file: Path, ensemble: Path) -> str:
    try:
        return os.path.relpath(file.resolve(), ensemble.resolve().parent)
    except ValueError:  # another drive
        return str(file.resolve())


def members_of(names: Sequence[str | Path], weights: Sequence[float] | None = None) -> Members:
    """Resolve names to model files and weights; ensembles are replaced by their members.

    Args:
        names: The names of models and ensembles.
        weights: The weight of each name, by default 1. The members of an ensemble share its weight
            in the proportions of its file. If the first name is an ensemble, its operating points
            apply to all models; its augmentation applies only if it is the only name.

    Raises:
        InputError: The weights do not fit.
        ModelError: A name is not a model, or a member has changed since the ensemble was written.
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
        # A single ensemble keeps its own weights; among others it counts as one model with its
        # weight.
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
    """Return names and weights with ensembles replaced by their members, and the resolved models.

    Raises:
        InputError: See `members_of`.
        ModelError: See `members_of`.
    """
    found = members_of(names, weights)
    if not any(map(is_ensemble, names)):
        return names, weights, found
    return list(map(str, found.files)), list(found.weights), found


def is_ensemble(name: str | Path) -> bool:
    """Return whether a name is that of an ensemble file."""
    return Path(name).suffix.lower() == SUFFIX


def read_ensemble(path: Path) -> Members:
    """Read an ensemble file: its models and the settings for all of them.

    Raises:
        ModelError: The file is missing or damaged, or a member is missing or has changed.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"{path}: no such ensemble ({error.strerror})", file=path) from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is not an ensemble: it is not JSON", file=path) from error
    if not isinstance(found, dict) or "members" not in found:
        raise ModelError(f"{path} is not an ensemble that `bigkingxxl ensemble` wrote", file=path)
    try:
        content = checked(EnsembleContent, found, where=str(path))
    except SettingsError as error:
        raise ModelError(f"{error}: it is damaged, or of another version", file=path) from error
    files = tuple(_file_of(path, each) for each in content.members)
    weights = tuple(each.weight for each in content.members)
    return Members(files, weights, content.operating_points, content.tta)


def _file_of(path: Path, member: EnsembleMember) -> Path:
    name = member.model
    try:
        file = resolve_model(name if shipped_model(name) is not None else path.parent / name)
    except ModelError as error:
        raise ModelError(
            f"{path}: the model {name} does not exist: move the ensemble together with its "
            "models, or make it again",
            file=path,
            key=str(name),
        ) from error
    if model_hash(file) != member.hash:
        raise ModelError(
            f"{path}: the model {file} has changed since the ensemble was made: make the ensemble "
            "again",
            file=path,
            key=str(file),
        )
    return file

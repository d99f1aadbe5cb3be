"""A set of models with weights, kept as one small file that is named wherever a model is.

The file lists its members by path, seen from its own folder, or by shipped name, and remembers what
each of them was: a member that has changed since is refused, not used in silence.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from bigkingxxl.errors import InputError, ModelError
from bigkingxxl.files import write_json
from bigkingxxl.inference.ensemble import joint_types
from bigkingxxl.inference.fusion import checked_weights
from bigkingxxl.models import model_hash, read_card, resolve_model
from bigkingxxl.shipped import SHIPPED, shipped_model

SUFFIX = ".ensemble"
FORMAT = "bigkingxxl-ensemble-1"


def write_ensemble(
    path: Path, models: Sequence[str | Path], weights: Sequence[float] | None = None
) -> None:
    """Keep models and their weights as one file.

    Args:
        models: files, shipped names, or other ensembles, whose members it then has.

    Raises:
        InputError: weights that do not fit, or another ending than `.ensemble`; ModelError: a
            model that is missing or no model; OutputError: the file cannot be written.
    """
    if path.suffix.lower() != SUFFIX:
        raise InputError(f"{path}: an ensemble is kept as {path.with_suffix(SUFFIX).name}")
    files, own = members_of(models, weights)
    joint_types([read_card(file).type_names for file in files])
    members = [
        {
            "model": _shipped_name(file) or _seen_from(file, path),
            "weight": weight,
            "hash": model_hash(file),
        }
        for file, weight in zip(files, own, strict=True)
    ]
    write_json(path, {"format": FORMAT, "members": members})


def _shipped_name(file: Path) -> str | None:
    """The name of a shipped model that stands for the very file."""
    return next((name for name, model in SHIPPED.items() if model.path == file), None)


def _seen_from(file: Path, ensemble: Path) -> str:
    try:
        return os.path.relpath(file.resolve(), ensemble.resolve().parent)
    except ValueError:  # another drive
        return str(file.resolve())


def members_of(
    names: Sequence[str | Path], weights: Sequence[float] | None = None
) -> tuple[list[Path], list[float]]:
    """The model files that names stand for, ensembles by their members, and all weights.

    Args:
        names: of models and ensembles; weights: of each name, by default 1. The members of an
            ensemble share its weight as the file says.

    Raises:
        InputError: weights that do not fit; ModelError: what is named is no model, or has changed
            since the ensemble was made.
    """
    files: list[Path] = []
    shares: list[float] = []
    for name, weight in zip(names, checked_weights(len(names), weights).tolist(), strict=True):
        if Path(name).suffix.lower() != SUFFIX:
            files.append(resolve_model(name))
            shares.append(weight)
            continue
        members = read_ensemble(Path(name))
        total = sum(share for _, share in members)
        files += [file for file, _ in members]
        # Alone it is as it was written; beside others it counts as one model of its weight.
        scale = 1.0 if len(names) == 1 else weight / total
        shares += [share * scale for _, share in members]
    return files, shares


def expanded(
    names: Sequence[str], weights: Sequence[float] | None
) -> tuple[list[str], list[float] | None]:
    """Names and weights with the members of ensembles in their place; else as they are.

    Raises:
        InputError, ModelError: see `members_of`.
    """
    if not any(Path(name).suffix.lower() == SUFFIX for name in names):
        return list(names), None if weights is None else list(weights)
    files, shares = members_of(names, weights)
    return [str(file) for file in files], shares


def read_ensemble(path: Path) -> list[tuple[Path, float]]:
    """The model file and weight of each member.

    Raises:
        ModelError: the file is missing or damaged, or a member is missing or has changed.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"{path}: no such ensemble ({error.strerror})") from error
    except ValueError as error:
        raise ModelError(f"{path} is no ensemble: it is not JSON") from error
    members = content.get("members") if isinstance(content, dict) else None
    if not isinstance(members, list) or content.get("format") != FORMAT or not members:
        raise ModelError(f"{path} is no ensemble that `bigkingxxl ensemble` wrote")
    return [_member(path, place, each) for place, each in enumerate(members, start=1)]


def _member(path: Path, place: int, member: object) -> tuple[Path, float]:
    kinds: dict[str, type | tuple[type, ...]] = {"model": str, "weight": (int, float), "hash": str}
    if not isinstance(member, dict) or not all(
        isinstance(member.get(key), kind) for key, kind in kinds.items()
    ):
        raise ModelError(f"{path}: member {place} lacks a model, a weight or a hash")
    name = str(member["model"])
    file = resolve_model(name if shipped_model(name) is not None else path.parent / name)
    if model_hash(file) != member["hash"]:
        raise ModelError(
            f"{path}: its member {file} is not the model that it was made of: make the ensemble "
            "again"
        )
    (weight,) = checked_weights(1, [float(member["weight"])]).tolist()
    return file, weight

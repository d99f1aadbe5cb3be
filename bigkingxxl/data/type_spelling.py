"""Recognise cell types that are the same but spelled differently."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from bigkingxxl.data.base import Dataset
from bigkingxxl.instances import Instances

# Between letters or digits only: 'CD4+' and 'CD4-' are different types.
SEPARATOR = re.compile(r"(?<=\w)[\s_-]+(?=\w)")


def spellings(names: Iterable[str]) -> dict[str, str]:
    """Return the first spelling of each name: 'SH-SY5Y' and 'shsy5y' are the same type.

    Spellings differ in upper and lower case, and in spaces, hyphens and underscores between
    letters or digits.
    """
    first: dict[str, str] = {}
    return {name: first.setdefault(_key(name), name) for name in names}


def _key(name: str) -> str:
    return SEPARATOR.sub("", name.strip().replace("_", " ")).casefold()


def spelling_note(same: Mapping[str, str]) -> str | None:
    """Return a sentence on the names that another spelling replaces; None if there are none."""
    changed = [f"'{name}' as '{first}'" for name, first in same.items() if name != first]
    if not changed:
        return None
    return f"cell types that differ only in their spelling are taken for one: {', '.join(changed)}"


def with_one_spelling(data: Dataset) -> Dataset:
    """Return a data set in which each cell type has one spelling; a note names the others."""
    same = spellings(data.type_names)
    note = spelling_note(same)
    if note is None:
        return data
    names = tuple(dict.fromkeys(same.values()))
    places = np.array([names.index(same[name]) for name in data.type_names], np.int16)
    read = data.read_instances

    def renamed(image_id: str) -> Instances:
        cells = read(image_id)
        return replace(cells, cell_type=places[cells.cell_type], type_names=names)

    return replace(data, type_names=names, read_instances=renamed, notes=(*data.notes, note))

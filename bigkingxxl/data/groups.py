"""Groups of images (of one sample or field of view) that a split keeps together."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from bigkingxxl import rle
from bigkingxxl.data.progress_reports import Track, untracked

if TYPE_CHECKING:
    from bigkingxxl.data.dataset import Dataset

# Kaggle's sample_id 'shsy5y[diff]_E10-4_Vessel-714_Ph_3' means well E10, position 4, plate 714,
# crop 3. The positions of a well share a sample, and crops of one position may overlap.
SAMPLE_ID = re.compile(r"_(?P<well>[A-P]\d{1,2})-\d+_Vessel-(?P<vessel>\w+?)_")
# LIVECell's file name 'SHSY5Y_Phase_B10_1_00d12h00m_3' means well B10, position 1, hour 12, crop 3.
LIVECELL_NAME = re.compile(r"^(?P<line>[^_]+)_Phase_(?P<well>[A-P]\d{1,2})_\d+_\d+d\d+h\d+m_\d+")
Columns = Mapping[str, Mapping[str, str]]
SAMPLE_COLUMNS = ("sample_id", "sample", "well", "plate", "vessel", "group")


@dataclass(frozen=True)
class Groups:
    """Groups of images that must stay in one fold.

    Attributes:
        of: The name of each image's group, by image id.
        grouped_by: 'sample columns', 'file names', 'fields.csv', 'matching seams', or two of them.
    """

    of: Mapping[str, str]
    grouped_by: str

    @property
    def count(self) -> int:
        """The number of groups."""
        return len(set(self.of.values()))

    @property
    def members(self) -> dict[str, list[str]]:
        """Return the sorted image ids of each group, sorted by group."""
        members: dict[str, list[str]] = {}
        for name in sorted(self.of):
            members.setdefault(self.of[name], []).append(name)
        return dict(sorted(members.items()))


def find_groups(dataset: Dataset, *, pixels: bool = False, track: Track = untracked) -> Groups:
    """Group images by sample or well columns, else file names, else `fields.csv`, else pixels.

    The pixels are compared by `field_matching.matching_images`, which finds borders that continue
    in another image and the same place at another time.

    Args:
        dataset: The data set.
        pixels: Compare the pixels in any case, and merge the groups that they connect.
        track: Wraps iterables to show progress.
    """
    known = known_groups(dataset.ids, dataset.columns)
    if known is not None and not pixels:
        return known
    from bigkingxxl.data.quality.field_matching import matching_images

    pairs = matching_images(dataset, track)
    if known is None:
        return Groups(connected(dataset.ids, pairs), "matching seams")
    chains = [pair for names in known.members.values() for pair in pairwise(names)]
    joined = connected(dataset.ids, [*chains, *pairs])
    return Groups(joined, f"{known.grouped_by} and matching seams")


def known_groups(ids: Sequence[str], columns: Columns) -> Groups | None:
    """Group images by their metadata; None if there are none.

    Args:
        ids: The images.
        columns: Further values of the images by column and id; see `Dataset.columns`.
    """
    present = [name for name in SAMPLE_COLUMNS if any(columns.get(name, {}).values())]
    if present:
        return Groups({name: _sample(columns, name, present) for name in ids}, "sample columns")
    wells = {name: found.group("line", "well") for name in ids
             if (found := LIVECELL_NAME.match(name))}  # fmt: skip
    if ids and len(wells) == len(ids):
        return Groups({name: "_".join(well) for name, well in wells.items()}, "file names")
    if fields := columns.get("field"):
        return Groups({name: _named(fields, name) for name in ids}, "fields.csv")
    return None


def _named(fields: Mapping[str, str], name: str) -> str:
    # The prefix distinguishes the name of a field from the id of an image without one.
    return f"field {fields[name]}" if fields.get(name) else f"image {name}"


def _sample(columns: Columns, name: str, present: list[str]) -> str:
    """Return the group of an image from the existing columns; an image without values is alone."""
    values = {column: columns[column].get(name, "") for column in present}
    if not any(values.values()):
        return f"image {name}"
    if found := SAMPLE_ID.search(values.get("sample_id", "")):
        return f"vessel {found['vessel']} well {found['well']}"
    date = columns.get("sample_date", {}).get(name, "")
    return " ".join([*(value for value in values.values() if value), date]).strip()


def connected(ids: Iterable[str], pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the connected components of a graph: each id with the smallest connected id."""
    given = list(ids)
    names = sorted(given)
    place = {name: index for index, name in enumerate(names)}
    ends = np.array([(place[a], place[b]) for a, b in pairs], np.int64).reshape(-1, 2)
    root = rle.connected(len(names), ends[:, 0], ends[:, 1])
    return {name: names[int(root[place[name]])] for name in given}

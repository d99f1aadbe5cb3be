"""The units that are held out in turn: images, or regions of images if they are few or large."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from typing import Literal

import numpy as np

from bigkingxxl.data.base import Dataset, Ignored
from bigkingxxl.data.groups import Groups, find_groups
from bigkingxxl.data.split import assign_folds
from bigkingxxl.geometry import Window
from bigkingxxl.images import Float32, ImageSource, ImageStatistics
from bigkingxxl.instances import Instances

FEWEST_IMAGES = 3  # with fewer annotated images, they are split into regions
PARTS = 2  # along each axis
LARGEST_SIDE = 2048  # pixels; a larger image is split into regions
CELLS_ACROSS = 4.0  # the least width of a region in median cell diameters
FEWEST_CELLS = 5  # of a region
MOST_SAMPLED = 30  # units used for choosing settings and checking models
CUT = 0.3  # fraction of a cell; a region ignores cells of which it holds less

Kind = Literal["images", "regions"]


class RegionImage(ImageSource):
    """A window of an image with the statistics of the whole image, as in prediction."""

    def __init__(self, source: ImageSource, window: Window, name: str) -> None:
        self.source, self.window, self.name = source, window, name
        self.shape, self.channels = window.size, source.channels
        self.pixel_size_um, self.cell_diameter = source.pixel_size_um, source.cell_diameter

    def read_raw(self, window: Window) -> Float32:
        """See `ImageSource.read_raw`."""
        row, col = self.window.row0, self.window.col0
        return self.source.read_raw(
            Window(window.row0 + row, window.col0 + col, window.row1 + row, window.col1 + col)
        )

    @property
    def statistics(self) -> ImageStatistics:
        """The statistics of the whole image."""
        return self.source.statistics


@dataclass(frozen=True, eq=False)
class RegionDataset(Dataset):
    """Windows of the images of a data set as images of their own.

    Attributes:
        whole: The data set.
        windows: The image and the window of each id.
    """

    whole: Dataset | None = None
    windows: Mapping[str, tuple[str, Window]] = field(default_factory=dict, repr=False)

    def source(self, image_id: str) -> ImageSource:
        """Open an image; see `Dataset.source`."""
        assert self.whole is not None
        own_id, window = self.windows[image_id]
        return RegionImage(self.whole.source(own_id), window, image_id)

    def instances(self, image_id: str) -> Instances:
        """Return the cells clipped to the window; see `Dataset.instances`."""
        return self.read_instances(image_id)

    def ignored(self, image_id: str) -> Ignored | None:
        """Return the ignored pixels, including cells that hardly reach into the window."""
        return self.read_ignored(image_id)


@dataclass(frozen=True, eq=False)
class Units:
    """The units that are held out in turn.

    Attributes:
        data: The units as a data set.
        kind: What the units are.
        groups: The group of each unit, which is held out as a whole.
        note: A sentence on how they were made, or None.
        sampled: The units used for choosing settings and checking models; by default all, or
            thirty that are spread evenly.
    """

    data: Dataset
    kind: Kind
    groups: Mapping[str, str]
    note: str | None = None
    sampled: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.sampled:
            count = min(len(self.data.ids), MOST_SAMPLED)
            places = np.linspace(0, len(self.data.ids) - 1, count).round().astype(int)
            sampled = tuple(self.data.ids[place] for place in places)
            object.__setattr__(self, "sampled", sampled)

    @property
    def count(self) -> int:
        """The number of groups used; with fewer than 2 nothing can be held out."""
        return len({self.groups[each] for each in self.sampled})

    def without(self, fold: Sequence[str]) -> tuple[str, ...]:
        """Return all units of other groups than those of a fold."""
        kept_back = {self.groups[each] for each in fold}
        return tuple(each for each in self.data.ids if self.groups[each] not in kept_back)


def fold_units(units: Units, count: int, seed: int) -> tuple[tuple[str, ...], ...]:
    """Divide the used units into up to `count` parts with similar numbers of cells, by group.

    Raises:
        InputError: There are fewer than two groups.
    """
    of = {each: units.groups[each] for each in units.sampled}
    groups = Groups(of, units.kind)
    folds = min(count, max(groups.count, 2))
    data = replace(units.data, ids=units.sampled)
    found = assign_folds(data, folds=folds, seed=seed, groups=groups)
    return tuple(found.validation(fold) for fold in range(folds))


def units_of(data: Dataset) -> Units:
    """Use images as units, grouped by field; or regions, if there are too few images.

    Images that are too large to be processed as a whole are always divided.
    """
    with_cells = [each for each in data.ids if len(data.instances(each))]
    sizes = {each: data.source(each).shape for each in data.ids}
    fields = find_groups(data).of
    if len(with_cells) < FEWEST_IMAGES:
        regions = regions_of(data, sizes)
        if len(regions.ids) >= FEWEST_IMAGES and len(regions.ids) > len(data.ids):
            what = "there is one image" if len(with_cells) == 1 else "there are two images"
            return Units(
                regions, "regions", {each: each for each in regions.ids},
                f"{what} with cells: regions are kept back in turn, so the gain is valid only for "
                "very similar images",
            )  # fmt: skip
    groups, note = fields, None
    if len({fields[each] for each in with_cells}) < min(FEWEST_IMAGES, len(with_cells)):
        groups = {each: each for each in data.ids}
        note = (
            "the images seem to show only one or two fields: they are still kept back one by "
            "one, so the gain is valid only for images of these fields"
        )
    if not any(max(size) > LARGEST_SIDE for size in sizes.values()):
        return Units(data, "images", groups, note)
    regions = regions_of(data, sizes, large_alone=True)
    owner = {each: groups[own] for each, (own, _) in regions.windows.items()}
    return Units(regions, "regions", owner, note)


def regions_of(
    data: Dataset, sizes: Mapping[str, tuple[int, int]], *, large_alone: bool = False
) -> RegionDataset:
    """Divide each image into parts that contain cells, unless the parts would be too small.

    Args:
        data: The data set.
        sizes: The (H, W) of each image.
        large_alone: Whether to divide only images that are too large.
    """
    windows: dict[str, tuple[str, Window]] = {}
    for image_id in data.ids:
        size = sizes[image_id]
        found = [Window(0, 0, *size)]
        if not large_alone or max(size) > LARGEST_SIDE:
            found = windows_of(data.instances(image_id), size)
        for place, window in enumerate(found):
            name = image_id if len(found) == 1 else f"{image_id} region {place + 1}"
            windows[name] = image_id, window
    return RegionDataset(
        layout=data.layout, root=data.root, ids=tuple(windows), type_names=data.type_names,
        paths={name: data.paths[own] for name, (own, _) in windows.items()},
        read_instances=partial(_cells, data, windows),
        read_ignored=partial(_ignored, data, windows), whole=data, windows=windows,
    )  # fmt: skip


def windows_of(cells: Instances, size: tuple[int, int]) -> list[Window]:
    """Divide an image into even windows that contain cells; a single one if that is impossible."""
    areas = cells.areas()
    across = CELLS_ACROSS * float(np.sqrt(np.median(areas))) if len(areas) else np.inf
    for parts in ((PARTS, PARTS), (1, PARTS), (PARTS, 1)):
        counts = [
            max(part, -(-length // LARGEST_SIDE)) for part, length in zip(parts, size, strict=True)
        ]
        if any(length / count < across for length, count in zip(size, counts, strict=True)):
            continue
        rows, cols = (
            np.linspace(0, length, count + 1).round().astype(int).tolist()
            for length, count in zip(size, counts, strict=True)
        )
        found = [
            Window(top, left, bottom, right)
            for top, bottom in pairwise(rows)
            for left, right in pairwise(cols)
        ]
        counted = [len(whole_cells(cells, window)) for window in found]
        is_large = max(size) > LARGEST_SIDE
        if is_large or min(counted) >= FEWEST_CELLS:
            return [each for each, count in zip(found, counted, strict=True)
                    if not is_large or count]  # fmt: skip
    return [Window(0, 0, *size)]


def whole_cells(cells: Instances, window: Window) -> Instances:
    """Return the cells that a window shows to a sufficient part, clipped to it."""
    cut = cells.crop(window)
    return cut.take(cut.areas() > CUT * cells.areas())


def _cells(data: Dataset, windows: Mapping[str, tuple[str, Window]], image_id: str) -> Instances:
    own_id, window = windows[image_id]
    return whole_cells(data.instances(own_id), window)


def _ignored(
    data: Dataset, windows: Mapping[str, tuple[str, Window]], image_id: str
) -> Ignored | None:
    own_id, window = windows[image_id]
    ignored, cells = data.ignored(own_id), data.instances(own_id)
    shown = cells.crop(window)
    areas = shown.areas()
    slivers = shown.take((areas > 0) & (areas <= CUT * cells.areas()))
    part = None if ignored is None else ignored[window.slices]
    if not len(slivers):
        return part
    hidden = slivers.label_map() > 0
    return hidden if part is None else hidden | part

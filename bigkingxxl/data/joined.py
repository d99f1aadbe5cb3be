"""Several annotated data sets joined into one for training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np

from bigkingxxl.data.base import Dataset, Ignored
from bigkingxxl.data.dataset import open_dataset
from bigkingxxl.data.split import fold_ids, folds_path
from bigkingxxl.data.type_spelling import spelling_note, spellings, with_one_spelling
from bigkingxxl.errors import BigKingXXLError, InputError
from bigkingxxl.images import ImageSource
from bigkingxxl.instances import NO_TYPE, UNTYPED, Instances
from bigkingxxl.settings import nearest

SET = "set"  # the column that names the data set of each image


@dataclass(frozen=True, eq=False)
class JoinedDataset(Dataset):
    """Joined data sets; the id of an image is `SET/ID`, and the column 'set' names its data set.

    The types are those of all data sets that have any. Cells of the others have the type `NO_TYPE`.

    Attributes:
        parts: The data sets by name.
        left_out: The names of data sets that are only monitored, not trained on.
    """

    parts: Mapping[str, Dataset] = field(default_factory=dict, repr=False)
    left_out: tuple[str, ...] = ()

    def set_of(self, image_id: str) -> str:
        """Return the name of an image's data set."""
        return self.columns[SET][image_id]

    def fold_ids(self, fold: int | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the training ids and the monitored ids.

        Data sets with `folds.csv` or known groups of images are split. Of the others, every image
        is used for training: their images are similar, so that a split would measure little.

        Args:
            fold: The fold; -1 splits no data set, and None is 0.

        Raises:
            InputError: See `bigkingxxl.data.split.fold_ids`.
        """
        training: list[str] = []
        watched: list[str] = []
        none: tuple[str, ...] = ()
        for name, part in self.parts.items():
            if name in self.left_out:
                train, watch = none, part.ids
            elif fold != -1 and (part.columns or folds_path(part).is_file()):
                train, watch = fold_ids(part, fold or 0)
            else:
                train, watch = part.ids, none
            training += [f"{name}/{image_id}" for image_id in train]
            watched += [f"{name}/{image_id}" for image_id in watch]
        return tuple(training), tuple(watched)


def open_datasets(
    places: Sequence[Path], left_out: Iterable[str] = (), *, skip_bad: bool = False
) -> Dataset:
    """Open one data set; or several, or a folder of several, as a joined one.

    Args:
        places: The data sets.
        left_out: The names of data sets that are only monitored.
        skip_bad: See `open_dataset`.

    Raises:
        InputError: Two data sets have one name, a name to leave out is unknown, or nothing is left
            to train on; see also `open_dataset`.
        FormatError: See `open_dataset`.
    """
    left_out = tuple(left_out)
    found: dict[str, Dataset] = {}
    for place in places:
        for data in _sets_at(Path(place), skip_bad):
            name = data.root.name if data.root.is_dir() else data.root.parent.name
            if name in found:
                is_same = found[name].root.resolve() == data.root.resolve()
                raise InputError(
                    f"{data.root} is named twice as a data set: leave one of the two out"
                    if is_same
                    else f"{found[name].root} and {data.root} would both be the set '{name}': "
                    "rename one of the folders",
                    key=name,
                    file=data.root,
                )
            found[name] = data
    if len(found) == 1 and not left_out:
        return with_one_spelling(next(iter(found.values())))
    for name in left_out:
        if name not in found:
            raise InputError(
                f"--leave-out {name}: no set has this name{nearest(name, found)}",
                key="--leave-out",
                found=name,
                expected=tuple(found),
            )
    if len(set(left_out)) == len(found):
        raise InputError("every set is left out: leave one to train on", key="--leave-out")
    return join(found, left_out)


def _sets_at(place: Path, skip_bad: bool) -> list[Dataset]:
    """Open the data set at a path, or those in its folders."""
    try:
        return [open_dataset(place, skip_bad=skip_bad)]
    except BigKingXXLError as reason:
        if not place.is_dir():
            raise
        inner = []
        for folder in sorted(path for path in place.iterdir() if path.is_dir()):
            try:
                inner.append(open_dataset(folder, skip_bad=skip_bad))
            except InputError:  # a folder with something else
                continue
        # A folder of images with one other folder in it is not a folder of data sets.
        if len(inner) < 2:
            raise reason
        return inner


def join(parts: Mapping[str, Dataset], left_out: Sequence[str] = ()) -> JoinedDataset:
    """Join data sets by name; see `JoinedDataset`."""
    typed = [part.type_names for part in parts.values() if part.type_names != (UNTYPED,)]
    same = spellings(dict.fromkeys(name for each in typed for name in each))
    note = spelling_note(same)
    names = tuple(dict.fromkeys(same.values()))
    if any(part.type_names == (UNTYPED,) for part in parts.values()) or not names:
        names = (*names, NO_TYPE)
    paths = {
        f"{name}/{image_id}": path for name, part in parts.items()
        for image_id, path in part.paths.items()
    }  # fmt: skip
    return JoinedDataset(
        layout="joined",
        root=next(iter(parts.values())).root,
        ids=tuple(f"{name}/{image_id}" for name, part in parts.items() for image_id in part.ids),
        type_names=names,
        paths=paths,
        read_instances=partial(_read, parts, names, same),
        read_ignored=partial(_read_ignored, parts),
        read_source=partial(_source, parts),
        columns={SET: {image_id: image_id.partition("/")[0] for image_id in paths}},
        unlabelled=tuple(path for part in parts.values() for path in part.unlabelled),
        skipped=tuple(sentence for part in parts.values() for sentence in part.skipped),
        notes=(
            *(sentence for part in parts.values() for sentence in part.notes),
            *([] if note is None else [note]),
        ),
        predicted=frozenset(
            f"{name}/{image_id}" for name, part in parts.items() for image_id in part.predicted
        ),
        parts=dict(parts),
        left_out=tuple(left_out),
    )


def _read(
    parts: Mapping[str, Dataset], names: tuple[str, ...], same: Mapping[str, str], image_id: str
) -> Instances:
    name, _, own_id = image_id.partition("/")
    part = parts[name]
    cells = part.read_instances(own_id)
    known = [NO_TYPE] if part.type_names == (UNTYPED,) else part.type_names
    places = np.array([names.index(same.get(each, each)) for each in known], np.int16)
    return replace(cells, cell_type=places[cells.cell_type], type_names=names)


def _read_ignored(parts: Mapping[str, Dataset], image_id: str) -> Ignored | None:
    name, _, own_id = image_id.partition("/")
    return parts[name].read_ignored(own_id)


def _source(parts: Mapping[str, Dataset], image_id: str) -> ImageSource:
    name, _, own_id = image_id.partition("/")
    return parts[name].source(own_id)


def without_set(image_id: str) -> str:
    """Return the id of an image in its own data set."""
    return image_id.partition("/")[2] or image_id

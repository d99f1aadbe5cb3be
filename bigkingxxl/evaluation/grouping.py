"""Which images of the truth vary together: what the bootstrap draws as one."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from bigkingxxl.data.groups import Groups, known_groups
from bigkingxxl.errors import FormatError
from bigkingxxl.evaluation.inputs import Truth
from bigkingxxl.io.tables.csv_table import read_table

EACH_ALONE = "each image alone"


def groups_of(truth: Truth, file: Path | None = None) -> Groups:
    """The field, well or sample of each image of the truth.

    By the file where one is given; else by what the truth says (sample columns, names as LIVECell
    has them, `fields.csv`); else by folders, where the images lie in several; else each alone.

    Args:
        file: a table with the columns id and group; an image that it leaves out is alone.

    Raises:
        InputError: the file is not there; FormatError: it is no such table, or names no image.
    """
    if file is not None:
        return _of_file(truth, file)
    known = known_groups(truth.ids, truth.columns)
    if known is not None:
        return known
    folders = {name: str(PurePosixPath(name).parent) for name in truth.ids}
    if len(set(folders.values())) > 1:
        return Groups(folders, "folders")
    return Groups({}, EACH_ALONE)


def _of_file(truth: Truth, file: Path) -> Groups:
    columns = read_table(file, ("id", "group")).columns
    named = dict(zip(columns["id"], columns["group"], strict=True))
    known = {name: named[name] for name in truth.ids if named.get(name)}
    if not known:
        raise FormatError(f"{file} names no image of {truth.path} in its column 'id'")
    return Groups(known, file.name)

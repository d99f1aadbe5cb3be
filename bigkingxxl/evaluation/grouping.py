"""Which images of the truth vary together: what the bootstrap draws as one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from bigkingxxl.data.groups import Groups, known_groups
from bigkingxxl.errors import FormatError
from bigkingxxl.evaluation.inputs import Truth
from bigkingxxl.io.tables.csv_table import read_table
from bigkingxxl.texts import counted

EACH_ALONE = "each image alone"
FRAME = re.compile(r"_t\d+(?=(_[zcps]\d+)*$)")  # as `predict` names the frames of a time-lapse
NUMBERED_FRAME = re.compile(r"(?<![a-z])(t|time|frame)[-_ ]?\d+$", re.IGNORECASE)


def groups_of(truth: Truth, file: Path | None = None) -> Groups:
    """The field, well or sample of each image of the truth.

    By the file where one is given; else by what the truth says (sample columns, names as LIVECell
    has them, `fields.csv`); else by folders, where the images lie in several; else by videos, where
    the names are those that this program gives to frames (`a_t000`); else each alone.

    Args:
        file: a table with the columns id and group; an image that it leaves out is alone.

    Raises:
        InputError: the file is not there; FormatError: it is no such table, names no image,
            or one image in two groups.
    """
    if file is not None:
        return _of_file(truth, file)
    known = known_groups(truth.ids, truth.columns)
    if known is not None:
        return known
    folders = {name: str(PurePosixPath(name).parent) for name in truth.ids}
    if len(set(folders.values())) > 1:
        return Groups(folders, "folders")
    videos = {name: FRAME.sub("", name) for name in truth.ids}
    if all(FRAME.search(name) for name in truth.ids) and len(set(videos.values())) < len(videos):
        return Groups(videos, "videos")
    return Groups({}, EACH_ALONE)


def frames_note(ids: Sequence[str], groups: Groups) -> str | None:
    """A sentence where images that count as independent are named like frames of videos."""
    if groups.grouped_by != EACH_ALONE:
        return None
    videos: dict[str, list[str]] = {}
    for name in ids:
        if NUMBERED_FRAME.search(name):
            videos.setdefault(NUMBERED_FRAME.sub("", name), []).append(name)
    frames = [each for each in videos.values() if len(each) > 1]
    if not frames:
        return None
    return (
        f"the names of {sum(map(len, frames))} images, such as {frames[0][0]}, look like frames of "
        f"{counted(len(frames), 'video')}: what lies in one video errs together, and the intervals "
        "are too narrow unless `--groups FILE`, a table of id,group, says which belong together"
    )


def _of_file(truth: Truth, file: Path) -> Groups:
    columns = read_table(file, ("id", "group")).columns
    named: dict[str, str] = {}
    for name, group in zip(columns["id"], columns["group"], strict=True):
        if named.setdefault(name, group) != group:
            raise FormatError(
                f"{file} puts the image '{name}' into the groups '{named[name]}' and '{group}', "
                "expected one",
                file=file,
                key=name,
                found=(named[name], group),
            )
    known = {name: named[name] for name in truth.ids if named.get(name)}
    if not known:
        raise FormatError(
            f"{file} names no image of {truth.path} in its column 'id'",
            file=file,
            key="id",
            expected=truth.path,
        )
    return Groups(known, file.name)

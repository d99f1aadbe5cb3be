"""Groups of correlated images, which the bootstrap draws together."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from bigkingxxl.data.groups import Groups, known_groups
from bigkingxxl.display_text import counted
from bigkingxxl.errors import FormatError
from bigkingxxl.evaluation.truth import Truth
from bigkingxxl.io.tables.csv_table import read_table

EACH_ALONE = "each image separately"
# the names that `predict` gives to frames of a time-lapse
FRAME = re.compile(r"_t\d+(?=(_[zcps]\d+)*$)")
NUMBERED_FRAME = re.compile(r"(?<![a-z])(t|time|frame)[-_ ]?\d+$", re.IGNORECASE)


def groups_of(truth: Truth, file: Path | None = None) -> Groups:
    """Determine the field, well or sample of each image of the truth.

    The groups come from `file` if it is given; else from the truth (sample columns, names as in
    LIVECell, `fields.csv`); else from folders, if the images lie in several; else from videos, if
    the names are those of frames (`a_t000`). Otherwise each image is its own group.

    Args:
        truth: The annotated images.
        file: A table with the columns id and group; a missing image is its own group.

    Raises:
        InputError: The file does not exist.
        FormatError: It is not such a table, names no image, or names one image in two groups.
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
    """Return a note if images that count as independent have the names of video frames."""
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
        f"the names of {sum(map(len, frames))} images, such as {frames[0][0]}, look like frames "
        f"of {counted(len(frames), 'video')}: errors within a video are correlated, so the "
        "intervals are too narrow; name a table with the columns id,group that lists the images "
        "of each video (`--groups FILE`)"
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

"""Shards: the disjoint parts of a run that jobs on other machines do."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bigkingxxl.errors import InputError
from bigkingxxl.files import write_text
from bigkingxxl.provenance import fingerprint
from bigkingxxl.runs.store import RECORDS, RunStore

# Fewer files than this are divided by their images and blocks, for which every shard must open
# every file.
FEW_FILES = 1000
MOST_SHARDS = 100_000  # each writes a note of its own into the run's folder
PATTERN = re.compile(r"\s*(\d{1,9})\s*/\s*(\d{1,9})\s*")


@dataclass(frozen=True)
class Shard:
    """Part `number` of `count` of a run; the parts are disjoint and together make up the whole.

    Attributes:
        number: From 1 to `count`.
        count: Number of parts.
    """

    number: int = 1
    count: int = 1

    @classmethod
    def of(cls, text: str) -> Shard:
        """Parse a shard as a user writes it, such as '3/16'.

        Raises:
            InputError: The text has another form, or there is no such shard.
        """
        match = PATTERN.fullmatch(text)
        if match is None:
            raise InputError(
                f"--shard is '{text}', expected NUMBER/COUNT, such as 3/16",
                key="--shard",
                found=text,
            )
        number, count = map(int, match.groups())
        if count > MOST_SHARDS:
            raise InputError(
                f"--shard is '{text}', but a run can be divided into at most {MOST_SHARDS:,} "
                "shards",
                key="--shard",
                found=text,
                expected=MOST_SHARDS,
            )
        if not 1 <= number <= count:
            which = (
                f"1/{count} to {count}/{count}" if count else "a count of 1 or more, such as 3/16"
            )
            raise InputError(
                f"--shard is '{text}', but shards are counted from 1 to their number, "
                f"expected {which}",
                key="--shard",
                found=text,
            )
        return cls(number, count)

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    @property
    def is_whole(self) -> bool:
        """Whether this is the only shard."""
        return self.count == 1

    def has(self, place: int) -> bool:
        """Whether the item at a position, counted from 0, belongs to this shard."""
        return place % self.count == self.number - 1

    def may_open(self, file: int, files: int) -> bool:
        """Whether anything of a file may belong to this shard; `has_unit` then says what."""
        return files <= FEW_FILES or self.has(file)

    def has_unit(
        self, file: int, files: int, image: int, unit: int = 0, units: int = 1
    ) -> bool:  # fmt: skip
        """Whether a unit of an image of a file belongs to this shard, all counted from 0.

        If there are many units, a shard has consecutive ones, because neighbours share pixels.
        """
        if files > FEW_FILES:
            return self.has(file)
        return self.has(file + image + (unit * self.count // units if units > self.count else unit))


WHOLE = Shard()


# Each shard notes its state and the files that it divided, so that the tables of a run that lost a
# shard say so.
BEGUN, DONE = "begun", "done"


def listing_of(files: Iterable[tuple[str, Path]]) -> str:
    """Return the fingerprint of the files that shards divide, in order: their names and sizes.

    Dates are left out, because jobs may work on copies.

    Args:
        files: The id and the path of each file.
    """
    return fingerprint(part for name, path in files for part in (name, str(_bytes_of(path))))


def _bytes_of(path: Path) -> int:
    try:
        return path.stat().st_size if path.is_file() else 0
    except OSError:
        return 0


def begin_shard(store: RunStore, run: str, shard: Shard, listing: str) -> None:
    """Note that a shard of a run has begun.

    Args:
        store: The folder of the run.
        run: Fingerprint of the run's settings.
        shard: The shard.
        listing: See `listing_of`.

    Raises:
        OutputError: The folder cannot be written.
    """
    if not shard.is_whole:
        write_text(_note_of(store, run, shard), f"{BEGUN} {listing}\n")


def end_shard(store: RunStore, run: str, shard: Shard, listing: str) -> None:
    """Note that a shard is done; a run that did everything removes the notes of all shards.

    Raises:
        OutputError: The folder cannot be written.
    """
    if shard.is_whole:
        shutil.rmtree(_notes(store, run), ignore_errors=True)
    else:
        write_text(_note_of(store, run, shard), f"{DONE} {listing}\n")


@dataclass(frozen=True)
class Unfinished:
    """Shards of a run that have not ended, or that divided other files than the latest one.

    Attributes:
        numbers: Numbers of these shards.
        count: Number of all shards.
        changed: Numbers of those that have ended, but divided other files.
    """

    numbers: tuple[int, ...] = ()
    count: int = 1
    changed: tuple[int, ...] = ()


def unfinished(store: RunStore, run: str) -> Unfinished:
    """Return the shards that a run still lacks; none if it was not sharded or all are done.

    If a run was sharded in several ways, it is complete once one of them is; otherwise the latest
    one counts.
    """
    ways = [each for each in _notes(store, run).glob("*")
            if each.name.isdecimal() and int(each.name) <= MOST_SHARDS]  # fmt: skip
    ways.sort(key=lambda each: each.stat().st_mtime_ns, reverse=True)
    lacking = [_unfinished(way) for way in ways]
    return next((each for each in lacking if not each.numbers), (lacking or [Unfinished()])[0])


def _unfinished(way: Path) -> Unfinished:
    """Return the shards that one way of sharding lacks, from the notes in its folder."""
    notes = sorted(way.glob("*.txt"), key=lambda each: each.stat().st_mtime_ns)
    states = {int(each.stem): each.read_text().split() for each in notes if each.stem.isdecimal()}
    done = {number: found[1:] for number, found in states.items() if found[:1] == [DONE]}
    latest = list(states.values())[-1][1:] if states else []
    changed = {number for number, listing in done.items() if listing != latest}
    missing = {*range(1, int(way.name) + 1)} - (done.keys() - changed)
    return Unfinished(tuple(sorted(missing)), int(way.name), tuple(sorted(changed)))


def _notes(store: RunStore, run: str) -> Path:
    return store.folder / RECORDS / "shards" / run


def _note_of(store: RunStore, run: str, shard: Shard) -> Path:
    return _notes(store, run) / str(shard.count) / f"{shard.number}.txt"

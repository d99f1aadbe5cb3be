"""The tables of a run, made from its records by whichever process finishes last.

The records are read image by image and the tables written at the same time. A table whose images
have not changed since it was written is left as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bigkingxxl.provenance import fingerprint, own_version
from bigkingxxl.runs.large.formats import LARGE_FORMATS
from bigkingxxl.runs.outputs import IMAGE_FORMATS, RUN_FORMATS, RunParts
from bigkingxxl.runs.records import Record
from bigkingxxl.runs.result_files import Found, State, belongs
from bigkingxxl.runs.shards import Unfinished, unfinished
from bigkingxxl.runs.store import FAILURE, SUMMARY, RunSettings, RunStore, format_key

if TYPE_CHECKING:
    from bigkingxxl.io.tables.summary import ImageSummary


@dataclass
class TablesResult:
    """The result of making tables.

    Attributes:
        written: The new files.
        kept: The files that a person changed and that were kept.
        incomplete: The number of images whose part must be made again, by format.
        too_large: The images that are too large for a format, so not in its table, by format.
        unwritten: The files that would be empty, because every image is too large for them.
        gone: The images whose files no longer exist; they are not in the tables.
        others: The images of another model or other settings; they are not in the tables.
        cells: The number of cells by image id.
        failed: The reason by the id of each failed image.
        corrected: The folder of corrected cells by image id; see `Correction.place`.
        unfinished: The shards of the run that have not ended, whose images are missing.
    """

    written: list[Path] = field(default_factory=list)
    kept: list[Path] = field(default_factory=list)
    incomplete: dict[str, int] = field(default_factory=dict)
    too_large: dict[str, list[str]] = field(default_factory=dict)
    unwritten: list[Path] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    cells: dict[str, int] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    corrected: dict[str, str] = field(default_factory=dict)
    unfinished: Unfinished = field(default_factory=Unfinished)


def make_tables(
    store: RunStore, settings: RunSettings | None = None, *, overwrite: bool = False
) -> TablesResult:
    """Write the tables of a run's formats from its records.

    Args:
        store: The folder of the run.
        settings: The settings of the run; by default those of the latest run in the folder.
        overwrite: Whether to overwrite tables that a person changed.

    Raises:
        OutputError: A table cannot be written.
    """
    settings = settings or store.settings()
    result = TablesResult()
    if settings is None:
        return result
    # One at a time, from the first look at the records: the last process has seen them all.
    with store.locked("tables"):
        index = _Index.of(store, settings, result)
        result.cells = {name: index.cells[name] for name in index.identities}
        result.corrected = {name: each for name, each in index.corrected.items()
                            if name in index.identities}  # fmt: skip
        result.failed, result.unfinished = index.failed, unfinished(store, settings.run)
        for name in settings.formats:
            if name in RUN_FORMATS:
                _make(store, settings, index, name, result, overwrite=overwrite)
    return result


@dataclass(frozen=True)
class _Index:
    """The images of a run.

    Attributes:
        identities: The fingerprint of each image's cells, by image id, sorted.
        cells: The number of cells of each image.
        candidates: The fingerprints of the settings of their candidates.
        seen: The hash of each image file.
        failed: The reason for each failed image.
        in_blocks: The large images, which some formats are not written of.
        corrected: The folder of corrected cells by image id.
        types: The cell types of all images, if any cell has one.
    """

    store: RunStore
    identities: dict[str, str]
    candidates: dict[str, str]
    seen: dict[str, str]
    corrected: dict[str, str]
    cells: dict[str, int]
    failed: dict[str, str]
    in_blocks: frozenset[str]
    types: tuple[str, ...]

    @classmethod
    def of(cls, store: RunStore, settings: RunSettings, result: TablesResult) -> _Index:
        """Read the images from the records."""
        from bigkingxxl.io.tables.summary import types_found

        failed = {
            each.image: each.failure for each in store.records(FAILURE)
            if each.key == settings.run and not each.is_gone()
        }  # fmt: skip
        identities: dict[str, str] = {}
        candidates: dict[str, str] = {}
        seen: dict[str, str] = {}
        corrected: dict[str, str] = {}
        cells: dict[str, int] = {}
        types: dict[str, dict[str, int]] = {}
        in_blocks: set[str] = set()
        for record in store.records(SUMMARY):
            if record.details.get("run") != settings.run:
                result.others.append(record.image)
            elif record.image in failed:
                continue
            elif record.is_gone():
                result.gone.append(record.image)
            elif record.seen is not None:
                identities[record.image] = str(record.details["identity"])
                candidates[record.image] = record.details.get("candidates", settings.key)
                seen[record.image] = record.seen.sha256
                row = record.details["row"]
                if row.get("corrected"):
                    corrected[record.image] = row["corrected"]
                cells[record.image] = int(row["cells"])
                types[record.image] = row["by_type"]
                if record.details.get("in_blocks"):
                    in_blocks.add(record.image)
        ordered = dict(sorted(identities.items()))
        names = types_found(types[each] for each in ordered)
        failed = dict(sorted(failed.items()))
        return cls(store, ordered, candidates, seen, corrected, cells, failed,
                   frozenset(in_blocks), tuple(names))  # fmt: skip

    def part(self, kind: str, image_id: str) -> Record | None:
        """Return the record of an image's part of a table, if it belongs to the current cells."""
        record = self.store.record(kind, image_id)
        of_candidates = IMAGE_FORMATS[kind].of_candidates
        identity = (self.candidates if of_candidates else self.identities)[image_id]
        if record is None or record.seen is None or record.output is None:
            return None
        is_current = record.seen.sha256 == self.seen[image_id]
        return record if is_current and belongs(record, format_key(identity, kind), record.seen) \
            else None  # fmt: skip

    def summaries(self) -> Iterator[ImageSummary]:
        """Yield the row of each image, including failed ones, sorted."""
        from bigkingxxl.io.tables.summary import ImageSummary

        for image_id in sorted([*self.identities, *self.failed]):
            if image_id in self.failed:
                yield ImageSummary(image_id, failure=self.failed[image_id])
                continue
            record = self.store.record(SUMMARY, image_id)
            if record is not None:
                row = dict(record.details["row"])
                yield ImageSummary(**{**row, "warnings": tuple(row["warnings"])})


def _make(
    store: RunStore, settings: RunSettings, index: _Index, name: str, result: TablesResult,
    *, overwrite: bool,
) -> None:  # fmt: skip
    """Write the files of one format unless they are up to date."""
    records = _parts(store, index, name, result) if name in IMAGE_FORMATS else {}
    if not records and name in result.too_large:
        _leave_out(store, name, result, overwrite=overwrite)
        return
    key = _table_key(name, index, records)
    files = RUN_FORMATS[name].files
    states = {file: store.find_table(file) for file in files}
    if all(_is_current(each, key) for each in states.values()):
        return
    columns = dict.fromkeys(
        column for record in records.values() for column in record.details.get("columns", ())
    )
    parts = RunParts(
        index.summaries, {each: store.place(name, each) for each in records}, index.cells,
        index.types, tuple(columns),
    )  # fmt: skip
    kept = [file for file in files if states[file].is_somebodys and not overwrite]
    result.kept += [store.folder / file for file in kept]
    written = [file for file in files if file not in kept]
    if written:
        _write(store, settings, name, key, states, parts, written)
        result.written += [store.folder / file for file in written]


def _parts(store: RunStore, index: _Index, name: str, result: TablesResult) -> dict[str, Record]:
    """Return the parts of a table by image, and note the images without one."""
    found = ((each, index.part(name, each)) for each in index.identities)
    records = {
        each: record for each, record in found
        if record is not None and store.place(name, each).is_file()
    }  # fmt: skip
    missing = [each for each in index.identities if each not in records]
    never = index.in_blocks if name not in LARGE_FORMATS else frozenset[str]()
    if too_large := [each for each in missing if each in never]:
        result.too_large[name] = too_large
    if again := len(missing) - len(too_large):
        result.incomplete[name] = again
    return records


def _leave_out(store: RunStore, name: str, result: TablesResult, *, overwrite: bool) -> None:
    """Write no files that hold no image; remove those of an earlier run."""
    for file in RUN_FORMATS[name].files:
        found = store.find_table(file)
        if found.is_somebodys and not overwrite:
            result.kept.append(store.folder / file)
            continue
        store.remove_table(file)
        result.unwritten.append(store.folder / file)


def _write(
    store: RunStore, settings: RunSettings, name: str, key: str, states: dict[str, Found],
    parts: RunParts, written: list[str],
) -> None:  # fmt: skip
    """Write all files of a format at once, and move those that are needed into place."""
    from bigkingxxl.files import temporary_beside

    files = RUN_FORMATS[name].files
    made = {file: temporary_beside(store.folder / file) for file in files}
    try:
        RUN_FORMATS[name].write(list(made.values()), parts)
        for file in written:
            record = Record("", file, "", None, None, key, settings.model, own_version())
            store.write_table(record, states[file], made[file].replace)
    finally:
        for place in made.values():
            place.unlink(missing_ok=True)


def _table_key(name: str, index: _Index, records: dict[str, Record]) -> str:
    """Return the fingerprint of everything that a table contains."""
    parts = [name]
    if name in IMAGE_FORMATS:
        for each, record in records.items():
            parts += [each, record.output.sha256 if record.output is not None else ""]
    else:
        parts += [repr(row) for row in index.summaries()]
    return fingerprint(part.encode("utf-8", "backslashreplace") for part in parts)


def _is_current(found: Found, key: str) -> bool:
    return (
        found.state is State.OURS
        and found.record is not None
        and found.stamp is not None
        and found.record.is_current(found.stamp)
        and found.record.key == key
    )

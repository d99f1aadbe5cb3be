"""What a run over many images did: noted image by image, from wherever each was done."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from bigkingxxl.runs.reading import Reading
from bigkingxxl.runs.records import Record
from bigkingxxl.runs.store import FAILURE, KINDS, SUMMARY, RunSettings, RunStore
from bigkingxxl.runs.tables import TablesResult
from bigkingxxl.runs.work import Outcome


@dataclass
class FolderResult:
    """What a run over many images did.

    Attributes:
        cells: number of cells by image id, in order; skipped: how many images were done before.
        failed: by image id, one sentence for each image that failed.
        warnings: by image id, sentences on what the user should know of it.
        diameters: by image id, the diameter that its cells were taken to have, in pixels.
        expected_quality: by image id, where it is known; see `bigkingxxl.quality`.
        kept: files that a person changed or made, and which were left alone.
        corrected: by id of each image whose cells a person corrected, the folder in the run from
            which they are taken; kept_models: of such images the model that made them, where the
            run has another model or other settings.
        replaced: by image id, another file whose results were under that id, and are replaced.
        removed: files of images that the run no longer has.
        tables: what became of the tables.
        stopped: why the run ended before it was done, or ""; left: how many files were left then.
        is_part: the run is a shard, which leaves the tables to whoever comes last.
        remarks: by image id, sentences on what is not as a user may think; damaged: by image id,
            a sentence on what of it could not be read, while the rest is done.
    """

    cells: dict[str, int] = field(default_factory=dict)
    skipped: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    warnings: dict[str, tuple[str, ...]] = field(default_factory=dict)
    diameters: dict[str, float] = field(default_factory=dict)
    expected_quality: dict[str, float] = field(default_factory=dict)
    kept: list[Path] = field(default_factory=list)
    corrected: dict[str, str] = field(default_factory=dict)
    kept_models: dict[str, str] = field(default_factory=dict)
    replaced: dict[str, Path] = field(default_factory=dict)
    removed: int = 0
    tables: TablesResult = field(default_factory=TablesResult)
    stopped: str = ""
    left: int = 0
    is_part: bool = False
    remarks: dict[str, tuple[str, ...]] = field(default_factory=dict)
    damaged: dict[str, str] = field(default_factory=dict)

    def note(self, outcome: Outcome) -> None:
        """Take in what became of an image."""
        self.kept += outcome.kept
        if outcome.failure:
            self.failed[outcome.image] = outcome.failure
            return
        self.failed.pop(outcome.image, None)  # a block may have failed that was done later
        self.cells[outcome.image] = outcome.cells or 0
        if outcome.remarks:
            self.remarks[outcome.image] = outcome.remarks
        if outcome.damage:
            self.damaged[outcome.image] = outcome.damage
        self.skipped += not outcome.is_new
        if outcome.corrected:
            self.corrected[outcome.image] = outcome.corrected
        if outcome.made_by:
            self.kept_models[outcome.image] = outcome.made_by
        if outcome.replaced is not None:
            self.replaced[outcome.image] = outcome.replaced
        if outcome.diameter is not None:
            self.diameters[outcome.image] = outcome.diameter
        if outcome.expected_quality is not None:
            self.expected_quality[outcome.image] = outcome.expected_quality
        if outcome.warnings:
            self.warnings[outcome.image] = outcome.warnings


def remove_obsolete(
    store: RunStore, settings: RunSettings, opened: set[str], names: set[str]
) -> int:
    """Remove what earlier runs made of this run's files under names that are no longer used.

    A time-lapse that was predicted as one image before, a file that could not be opened. Of one
    that cannot be opened now everything stays; so do other frames and positions of the same file,
    where this run was asked for some.

    Args:
        opened: absolute paths of files that could be opened; names: ids of all images of the run.

    Returns:
        How many files went.
    """
    is_partial = Reading.is_partial(settings.reading)
    removed = 0
    for kind in (SUMMARY, FAILURE):
        for record in store.records(kind):
            if record.image in names or record.path not in opened:
                continue
            is_plane = kind == SUMMARY or record.frame is not None
            if is_partial and is_plane and _is_of_the_file_as_it_is(store, record):
                continue
            removed += remove_image(store, record.image)
    return removed


def forget_alone(store: RunStore, image_id: str, path: Path) -> int:
    """Remove what is left of a file that was one image once, or none, and holds several now.

    Of all that may be obsolete only this is cheap to know; shards remove no more.
    """
    records = (store.record(kind, image_id) for kind in (SUMMARY, FAILURE))
    if any(each is not None and each.path == str(path.absolute()) for each in records):
        return remove_image(store, image_id)
    return 0


def remove_image(store: RunStore, image_id: str) -> int:
    """Remove all results of an image that nobody changed; how many files went."""
    removed = [store.remove(each, image_id) for each in KINDS]
    store.forget(FAILURE, image_id)
    return sum(removed)


def _is_of_the_file_as_it_is(store: RunStore, record: Record) -> bool:
    seen = store.stamp(record.file, record.seen)
    return record.seen is not None and record.seen.sha256 == seen.sha256

"""Remove the results of images that a run no longer has."""

from __future__ import annotations

from pathlib import Path

from bigkingxxl.runs.open_options import OpenOptions
from bigkingxxl.runs.records import Record
from bigkingxxl.runs.store import FAILURE, KINDS, SUMMARY, RunSettings, RunStore


def remove_obsolete(
    store: RunStore, settings: RunSettings, opened: set[str], names: set[str]
) -> int:
    """Remove the results of this run's files that lie under names no longer in use.

    Examples are a time-lapse that was predicted as one image before, and a file that could not be
    opened then. All results of a file that cannot be opened now stay; so do other frames and
    positions of a file of which this run processes only some.

    Args:
        store: The folder of the run.
        settings: The settings of the run.
        opened: Absolute paths of the files that could be opened.
        names: Ids of all images of the run.

    Returns:
        The number of files removed.
    """
    is_partial = OpenOptions.is_partial(settings.reading)
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
    """Remove the results of a file as one image, now that it holds several.

    Of everything that may be obsolete, only this is cheap to find; shards remove nothing else.
    """
    records = (store.record(kind, image_id) for kind in (SUMMARY, FAILURE))
    if any(each is not None and each.path == str(path.absolute()) for each in records):
        return remove_image(store, image_id)
    return 0


def remove_image(store: RunStore, image_id: str) -> int:
    """Remove all results of an image except files that a person changed, and count them."""
    removed = [store.remove(each, image_id) for each in KINDS]
    store.forget(FAILURE, image_id)
    return sum(removed)


def _is_of_the_file_as_it_is(store: RunStore, record: Record) -> bool:
    seen = store.stamp(record.file, record.seen)
    return record.seen is not None and record.seen.sha256 == seen.sha256

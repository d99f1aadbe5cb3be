"""The current cells of a run's image: predicted, or corrected by a person.

Cells are corrected in the viewer (`corrections/`), or in any file of the run that another program
changed: a label image, `_seg.npy`, ROIs or GeoJSON. All readers of a run use this module, so that
every command uses the same cells.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from bigkingxxl.data.layouts.run import CORRECTABLE, CORRECTED, cells_of_files
from bigkingxxl.errors import FormatError, InputError
from bigkingxxl.file_names import place_of
from bigkingxxl.files import file_hash
from bigkingxxl.instances import Instances
from bigkingxxl.io.annotations.corrections import (
    CORRECTIONS,
    LABELS,
    CorrectedImage,
    corrected_image,
)
from bigkingxxl.io.annotations.registry import AnnotationFile
from bigkingxxl.io.annotations.run_cells import NumberedCells
from bigkingxxl.provenance import fingerprint
from bigkingxxl.runs.records import Stamp
from bigkingxxl.runs.result_files import Found, State
from bigkingxxl.runs.store import RunStore

APART = "+"  # separates the hashes of files


@dataclass(frozen=True)
class Correction:
    """The correction of an image's cells by a person.

    Attributes:
        image: The id of the image.
        viewed: The corrections of the viewer, or None.
        changed: The files of the run that were changed, by format; empty beside `viewed`.
        files: The same files, for reading.
    """

    image: str
    viewed: CorrectedImage | None
    changed: dict[str, Found]
    files: tuple[AnnotationFile, ...] = ()

    @property
    def place(self) -> str:
        """The folder of the run that contains the cells, such as 'labels'."""
        if self.viewed is not None:
            return CORRECTED
        return CORRECTABLE[next(iter(self.changed))][0]

    def identity(self, run: str) -> str:
        """Return a fingerprint of the corrected cells.

        Args:
            run: The fingerprint of the run that predicted the cells.
        """
        if self.viewed is not None:
            notes = repr(sorted(self.viewed.notes.items()))
            return fingerprint([run, file_hash(self.viewed.labels_path), notes])
        return fingerprint([run, *(_hash(found) for found in self.changed.values())])

    def check_image(self, seen: Stamp) -> None:
        """Check that the image file is still the one for which the corrections were made.

        Raises:
            FormatError: It is another one.
        """
        if self.viewed is not None:
            if self.viewed.seen and self.viewed.seen != seen.sha256:
                raise FormatError(
                    f"{self.viewed.path} changed since its cells were corrected: move "
                    f"{self.viewed.labels_path} to another folder, or restore the image",
                    file=self.viewed.path,
                )
            return
        for file, found in zip(self.files, self.changed.values(), strict=True):
            record = found.record
            if record is None or record.seen is None or record.seen.sha256 != seen.sha256:
                raise FormatError(
                    f"{file.path} contains corrections of an earlier version of the image "
                    f"'{self.image}': move the file to another folder and predict again, then "
                    "move it back if it fits the new image (--overwrite replaces it)",
                    file=file.path,
                    key=self.image,
                )

    def cells(self, found: Callable[[], Instances]) -> NumberedCells:
        """Return the cells and their numbers.

        Args:
            found: Returns the predicted cells, whose scores and types are kept for unchanged cells.

        Raises:
            FormatError: A file is damaged or has another size, or two files differ.
        """
        if self.viewed is not None:
            return self.viewed.cells()
        before = found()
        try:
            return cells_of_files(self.image, self.files, before)
        except InputError as error:
            raise FormatError(
                f"{error}; the file was changed after the prediction: repair it, or remove it and "
                "predict again"
            ) from error


def correction_of(store: RunStore, image_id: str) -> Correction | None:
    """Return the correction of an image, or None.

    Raises:
        FormatError: The corrections of the viewer are damaged, or another file was changed as well.
    """
    place = place_of(image_id).as_posix()
    viewed = corrected_image(store.folder / CORRECTIONS, place)
    changed = changed_files(store, image_id)
    if viewed is not None and viewed.image == image_id:
        known = viewed.before.split(APART)
        for kind, found in changed.items():
            if _hash(found) not in known:
                raise FormatError(
                    f"{image_id} was corrected twice, in {viewed.labels_path} by the viewer and "
                    f"in {store.place(kind, image_id)} by hand: move one of the two files to "
                    "another folder",
                    file=viewed.labels_path,
                    key=image_id,
                )
        return Correction(image_id, viewed, {})
    if not changed:
        return None
    files = tuple(
        AnnotationFile(store.place(kind, image_id), kind, (place,), True) for kind in changed
    )
    return Correction(image_id, None, changed, files)


def changed_files(store: RunStore, image_id: str) -> dict[str, Found]:
    """Return the files of an image's cells that differ from what the run wrote, by format."""
    found = {
        kind: store.find(kind, image_id) for kind in CORRECTABLE
        if store.place(kind, image_id).is_file()
    }  # fmt: skip
    return {kind: each for kind, each in found.items() if each.state is State.CHANGED}


def before_of(store: RunStore, image_id: str) -> str:
    """Return the hash of the files from which the viewer starts; see `CorrectedImage.before`."""
    labels = store.find(LABELS, image_id)
    changed = {LABELS: labels, **changed_files(store, image_id)}
    return APART.join(_hash(found) for found in changed.values() if found.stamp is not None)


def place_of_correction(correction: Correction | None) -> str:
    """Return `Correction.place`, or "" without a correction."""
    return "" if correction is None else correction.place


def correction_sentence(folder: object, places: Iterable[str]) -> str:
    """Describe in a sentence which cells of a run are used.

    Args:
        folder: The folder of the run.
        places: For each image, `Correction.place`, or "" if its cells are the predicted ones.
    """
    counts = Counter(places)
    parts = [f"as predicted in {_images(counts.pop('', 0))}"]
    parts += [
        f"as corrected{' in the viewer' if place == CORRECTED else ''} in {_images(count)} "
        f"({place}/)" for place, count in sorted(counts.items())
    ]  # fmt: skip
    return f"the cells in {folder} are {', '.join(parts)}"


def _images(count: int) -> str:
    return "1 image" if count == 1 else f"{count} images"


def _hash(found: Found) -> str:
    return "" if found.stamp is None else found.stamp.sha256

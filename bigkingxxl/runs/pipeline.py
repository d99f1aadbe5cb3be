"""How the images of a run are processed: the model, the selection of cells and the settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bigkingxxl.candidates import Candidates
from bigkingxxl.data.progress_reports import Track, untracked
from bigkingxxl.errors import ImageError
from bigkingxxl.images import ImageSource
from bigkingxxl.inference.domain.quality_assessment import QualityAssessment
from bigkingxxl.inference.predictor import Predictor
from bigkingxxl.instances import Instances
from bigkingxxl.io.annotations.corrections import LABELS
from bigkingxxl.runs.corrected import Correction, correction_of
from bigkingxxl.runs.records import FileState
from bigkingxxl.runs.selection import STORED, Selection
from bigkingxxl.runs.store import (
    CANDIDATES,
    CELLS,
    RunSettings,
    RunStore,
)

Judge = Callable[[ImageSource, Candidates, Instances], QualityAssessment]


@dataclass(frozen=True)
class RunImage:
    """An image of a run.

    Attributes:
        source: The opened image, whose `name` is its id in the run.
        path: The image file.
        frame: Which plane of the file it is, counted from 0; None if it is the only one.
        opened: The state of the file when it was opened; None if it is not compared.
    """

    source: ImageSource
    path: Path
    frame: int | None = None
    opened: FileState | None = None

    @property
    def name(self) -> str:
        """The id of the image."""
        return self.source.name

    def check_as_opened(self) -> None:
        """Refuse a file that was replaced or written since its header was read.

        Raises:
            ImageError: It was.
        """
        if self.opened is not None and FileState.of(self.path) != self.opened:
            raise changed(self.path)


def opened_images(
    open_images: Callable[[Path], Sequence[ImageSource]], path: Path
) -> list[RunImage]:
    """Open the images of a file, and note the state of the file before that.

    Raises:
        ImageError: See `open_images`.
    """
    state = FileState.of(path)
    return [RunImage(each, path, getattr(each, "frame", None), state) for each in open_images(path)]


def changed(path: Path) -> ImageError:
    """Return the error of an image that was replaced, or is still being written."""
    return ImageError(
        f"{path} changed while it was read: predict it again when it is complete", file=path
    )


@dataclass(frozen=True)
class Pipeline:
    """What is done with every image of a run.

    Attributes:
        predictor: None if only label images are measured again.
        judge: Predicts the quality of the cells found in an image.
        overwrite: Also replace files that a person changed or made.
        track: Shows the progress of a run and of a large image.
        made_by: The settings that made the image's cells if they are not the run's; see
            `pipeline_for`.
    """

    settings: RunSettings
    selection: Selection
    predictor: Predictor | None = None
    judge: Judge | None = None
    overwrite: bool = False
    track: Track = untracked
    made_by: RunSettings | None = None

    @property
    def maker(self) -> RunSettings:
        """The settings that make the image's cells."""
        return self.made_by or self.settings

    def replaces(self, kind: str, correction: Correction | None) -> bool:
        """Whether a file that a person changed is replaced.

        Measuring never replaces label images or the other sources of the cells.
        """
        is_source = correction is not None and kind in correction.changed
        return self.overwrite and (self.predictor is not None or not (kind == LABELS or is_source))


def pipeline_for(
    store: RunStore, pipeline: Pipeline, image_id: str
) -> tuple[Pipeline, Correction | None]:
    """Return the pipeline for an image, and the correction of its cells by a person.

    Corrected cells are kept with the model and the settings that made them, whichever the run has
    now; none of them is predicted again.

    Raises:
        FormatError: The corrected cells are damaged, or were corrected in two places.
    """
    correction = correction_of(store, image_id)
    if correction is None:
        return pipeline, None
    if correction.viewed is None and pipeline.overwrite and pipeline.predictor is not None:
        return pipeline, None
    maker = _maker(store, pipeline.settings, image_id)
    if maker is None:
        return pipeline, correction
    kept = replace(pipeline, predictor=None, judge=None, selection=STORED, made_by=maker)
    return kept, correction


def _maker(store: RunStore, settings: RunSettings, image_id: str) -> RunSettings | None:
    """Return the settings that made the stored cells, or None if they are the run's."""
    cells, candidates = (store.record(kind, image_id) for kind in (CELLS, CANDIDATES))
    if cells is None:
        return None
    key = cells.details.get("candidates") or (settings if candidates is None else candidates).key
    if (key, cells.key) == (settings.key, settings.run):
        return None
    return replace(settings, key=key, run=cells.key, model=cells.model)

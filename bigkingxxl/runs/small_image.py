"""The unit of work: one image, from its pixels to its files and records.

A unit needs nothing but the run's folder and the image. It is done once however often it is
requested, and runs beside any number of others in other threads, processes and machines.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from bigkingxxl.candidates import Candidates
from bigkingxxl.errors import FormatError, ImageError
from bigkingxxl.inference.domain.quality_assessment import QualityAssessment
from bigkingxxl.instances import Instances
from bigkingxxl.io.annotations.corrections import LABELS
from bigkingxxl.io.annotations.run_cells import NumberedCells, load_cells, save_cells
from bigkingxxl.provenance import own_version
from bigkingxxl.runs.corrected import place_of_correction
from bigkingxxl.runs.outcome import BLANK, Outcome, failed_or_for_all
from bigkingxxl.runs.outputs import IMAGE_FORMATS, PredictedImage, details_of
from bigkingxxl.runs.pipeline import Pipeline, RunImage, changed, pipeline_for
from bigkingxxl.runs.records import Record, Stamp
from bigkingxxl.runs.result_files import Found, State, belongs
from bigkingxxl.runs.store import CANDIDATES, CELLS, FAILURE, SUMMARY, RunStore, format_key


def predict_one(
    store: RunStore, pipeline: Pipeline, image: RunImage, *, wait: bool = True
) -> Outcome | None:
    """Do one image, or the part of it that is not done; see `work_units.finish_image`.

    Any error with the image becomes its outcome.

    Raises:
        OutputError: Nothing can be written into the folder any more.
    """
    with store.locked(f"image {image.name}", wait=wait) as is_mine:
        if not is_mine:
            return None
        try:
            return _SmallImage(store, pipeline, image).done()
        except Exception as error:
            return failed_or_for_all(store, pipeline.settings, image, error)


class _SmallImage:
    """One image of a run, and its state so far."""

    def __init__(self, store: RunStore, pipeline: Pipeline, image: RunImage) -> None:
        self.store, self.image = store, image
        self.pipeline, self.correction = pipeline_for(store, pipeline, image.name)
        self.maker = self.pipeline.maker

    def done(self) -> Outcome:
        """Make the missing results and return the outcome."""
        found = {
            kind: self._find(kind)
            for kind in self.pipeline.settings.formats
            if kind in IMAGE_FORMATS
        }
        missing = [kind for kind, each in found.items() if not self._is_done(kind, each)]
        left = [kind for kind in found if found[kind].is_somebodys and not self._replaces(kind)]
        kept = tuple(self.store.place(kind, self.image.name) for kind in left)
        to_write = [kind for kind in missing if kind not in left]
        before = summary = self.store.record(SUMMARY, self.image.name)
        is_summed = (
            summary is not None
            and belongs(summary, format_key(self.identity, SUMMARY), self.seen)
            and summary.details.get("run") == self.pipeline.settings.run
            and summary.path == str(self.image.path.absolute())  # otherwise it was moved
            and self._has_cells
        )
        if summary is None or not is_summed or to_write:
            self._write(to_write, found)
            self._check_unchanged()
            summary = self._summarise()
        self.store.forget(FAILURE, self.image.name)
        row = summary.details["row"]
        return Outcome(
            self.image.name, row["cells"], bool(to_write) or not is_summed,
            "", summary.warnings, kept, place_of_correction(self.correction),
            "" if self.pipeline.made_by is None else self.maker.model, self._replaced(before),
            diameter=row.get("diameter"), expected_quality=row.get("expected_quality"),
        )  # fmt: skip

    @property
    def _has_cells(self) -> bool:
        """Whether the cells, which scores and reports read, are stored undamaged."""
        return self.correction is not None or self._find(CELLS).is_done(self.maker.run, self.seen)

    def _replaced(self, before: Record | None) -> Path | None:
        """Return the other image's file whose results lay under this name before."""
        if before is None or before.seen is None or before.seen.sha256 == self.seen.sha256:
            return None
        is_other = before.path != str(self.image.path.absolute()) and not before.is_gone()
        return before.file if is_other else None

    @cached_property
    def seen(self) -> Stamp:
        """Return the stamp of the image's file as it is now."""
        known = self.store.record(SUMMARY, self.image.name)
        seen = self.store.stamp(self.image.path, None if known is None else known.seen)
        self.image.check_as_opened()
        return seen

    def _check_unchanged(self) -> None:
        """Refuse to keep results of an image that changed while its pixels were read.

        Raises:
            ImageError: It changed.
        """
        self.image.check_as_opened()
        if self.store.stamp_now(self.image.path, self.seen, fully=False).sha256 != self.seen.sha256:
            raise changed(self.image.path)

    def _replaces(self, kind: str) -> bool:
        return self.pipeline.replaces(kind, self.correction)

    @cached_property
    def identity(self) -> str:
        """Return the fingerprint of everything that determines the cells."""
        run = self.maker.run
        return run if self.correction is None else self.correction.identity(run)

    def _key(self, kind: str) -> str:
        if kind in IMAGE_FORMATS and IMAGE_FORMATS[kind].of_candidates:
            return format_key(self.maker.key, kind)
        return format_key(self.maker.run if self._is_predicted(kind) else self.identity, kind)

    def _is_predicted(self, kind: str) -> bool:
        """Whether a file shows the cells as predicted, apart from the viewer's label images."""
        return kind == LABELS and self.correction is not None and self.correction.viewed is not None

    def _find(self, kind: str) -> Found:
        return self.store.find(kind, self.image.name)

    def _is_done(self, kind: str, found: Found) -> bool:
        if self.correction is not None and kind in self.correction.changed:
            return True
        return found.is_done(self._key(kind), self.seen)

    # ---- from pixels to cells -------------------------------------------------------------------

    @cached_property
    def candidates(self) -> Candidates:
        """Return all candidates in the image, loaded or predicted."""
        found, key = self._find(CANDIDATES), self.maker.key
        place = self.store.place(CANDIDATES, self.image.name)
        if found.is_done(key, self.seen):
            try:
                return Candidates.load(place)
            except FormatError:
                pass
        if self.pipeline.predictor is None:
            raise ImageError(
                f"{self.image.path} has no candidates of this run any more: predict it again",
                file=self.image.path,
            )
        candidates = self.pipeline.predictor.candidates(self.image.source)
        scale_of = getattr(self.pipeline.predictor, "scale_of", None)
        scale = None if scale_of is None else float(scale_of(candidates))
        self.store.write(self._record(CANDIDATES, key, scale=scale), _ours(found), candidates.save)
        return candidates

    @cached_property
    def selected(self) -> Instances:
        """Return the cells selected from the candidates, loaded or selected once per run."""
        found, key = self._find(CELLS), self.maker.run
        has_candidates = self.pipeline.predictor is None or self._find(CANDIDATES).is_done(
            self.maker.key, self.seen
        )
        if has_candidates and found.is_done(key, self.seen):
            try:
                return load_cells(self.store.place(CELLS, self.image.name))
            except FormatError:
                pass
        source = self.image.source
        cells, warnings = self.pipeline.selection.cells_of(source, self.candidates)
        warnings = (BLANK,) if source.statistics.is_blank else warnings
        judge = self.pipeline.judge
        found_out = QualityAssessment() if judge is None else judge(source, self.candidates, cells)
        record = self._record(
            CELLS, key, (*warnings, *found_out.warnings), candidates=self.maker.key,
            diameter=self.candidates.cell_diameter, expected_quality=found_out.expected_quality,
        )  # fmt: skip
        self.store.write(record, _ours(found), lambda path: save_cells(path, cells))
        return cells

    @cached_property
    def cells(self) -> NumberedCells:
        """Return the cells of the image: as selected, or as a person corrected them."""
        if self.correction is None:
            return NumberedCells.of(self.selected)
        self.correction.check_image(self.seen)
        return self.correction.cells(lambda: self.selected)

    # ---- files and records ----------------------------------------------------------------------

    def _write(self, kinds: list[str], found: dict[str, Found]) -> None:
        image = PredictedImage(
            self.image.source, self.cells, self.image.path, self.image.name,
            lambda: self.candidates, self.image.frame,
        )  # fmt: skip
        for kind in kinds:
            shown = image
            if self._is_predicted(kind):
                shown = replace(image, cells=NumberedCells.of(self.selected))
            write = partial(_write_format, kind, shown)
            record = self._record(kind, self._key(kind), **details_of(kind, image))
            self.store.write(record, found[kind], write)

    def _summarise(self) -> Record:
        from bigkingxxl.io.tables.summary import summarise

        stored = self.store.record(CANDIDATES, self.image.name)
        of_cells = self.store.record(CELLS, self.image.name)
        warnings = () if of_cells is None else of_cells.warnings
        known = {} if of_cells is None else of_cells.details
        row = summarise(
            self.image.name, self.cells.instances, model=self.maker.model,
            scale=None if stored is None else stored.details.get("scale"),
            diameter=known.get("diameter"),
            # The expected quality is that of the model's cells, not of a person's.
            expected_quality=None if self.correction else known.get("expected_quality"),
            warnings=warnings, corrected=place_of_correction(self.correction),
        )  # fmt: skip
        record = self._record(
            SUMMARY, format_key(self.identity, SUMMARY), warnings, identity=self.identity,
            row=asdict(row), candidates=self.maker.key, cells_of=self.maker.run,
        )  # fmt: skip
        self.store.keep(record)
        return record

    def _record(
        self, kind: str, key: str, warnings: list[str] | tuple[str, ...] = (), **details: Any
    ) -> Record:
        return Record(
            self.image.name, kind, str(self.image.path.absolute()), self.image.frame, self.seen,
            key, self.maker.model, own_version(), warnings=tuple(warnings),
            details={"run": self.pipeline.settings.run, **details},
        )  # fmt: skip


def _write_format(kind: str, image: PredictedImage, path: Path) -> None:
    IMAGE_FORMATS[kind].write(path, image)


def _ours(found: Found) -> Found:
    """Treat an intermediate result as the program's own: it is rewritten if it was changed."""
    return replace(found, state=State.OURS) if found.stamp is not None else found

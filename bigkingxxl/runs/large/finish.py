"""The files and records of a large image, made block by block once all blocks are done."""

from __future__ import annotations

import shutil
from dataclasses import asdict, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from bigkingxxl.candidates import Candidates
from bigkingxxl.errors import FormatError
from bigkingxxl.files import make_folder
from bigkingxxl.inference.domain.quality_assessment import QualityAssessment
from bigkingxxl.instances import UNTYPED, Instances
from bigkingxxl.io.annotations.corrections import LABELS
from bigkingxxl.io.tables.summary import CellNumbers, summary_of
from bigkingxxl.provenance import own_version
from bigkingxxl.runs.corrected import place_of_correction
from bigkingxxl.runs.large.cells import CellsByBlock
from bigkingxxl.runs.large.formats import (
    LARGE_FORMATS,
    BlockImage,
    WholeImage,
    part_of,
)
from bigkingxxl.runs.large.image import LargeImage
from bigkingxxl.runs.large.remarks import cut_cells, unreadable_pixels
from bigkingxxl.runs.outcome import BLANK, Outcome
from bigkingxxl.runs.outputs import IMAGE_FORMATS, details_of
from bigkingxxl.runs.records import Record
from bigkingxxl.runs.result_files import Found
from bigkingxxl.runs.store import CELLS, FAILURE, SUMMARY, format_key

PARTS = "parts"


def finish_large(large: LargeImage, *, wait: bool = True) -> Outcome | None:
    """Settle the cells at the seams, number the cells and write what is missing.

    Blocks that are not done yet are done first.

    Returns:
        The outcome; None if another process is working on it and `wait` is False.

    Raises:
        ImageError: The image cannot be read.
        OutputError: Nothing can be written.
    """
    with large.store.locked(f"image {large.image.name}", wait=wait) as is_mine:
        if not is_mine:
            return None
        for block in large.tracked(large.missing(), "blocks"):
            large.do_block(block)
        if large.pipeline.predictor is not None:
            large.check_unchanged(fully=True)
        return _Finish(large).outcome()


class _Finish:
    """The files and records of a large image whose blocks are all done.

    Cells that a person corrected are divided among the same blocks, so that their files are made in
    the same way; only their label image is held in memory as a whole while it is read.
    """

    def __init__(self, large: LargeImage) -> None:
        self.large, self.store, self.pipeline = large, large.store, large.pipeline
        self.image, self.plan, self.correction = large.image, large.plan, large.correction
        self.run = self.pipeline.maker.run
        self.identity = self.run if self.correction is None else self.correction.identity(self.run)
        large.settle()

    @cached_property
    def predicted(self) -> CellsByBlock:
        """The predicted cells."""
        return CellsByBlock.settled(
            self.plan.grid, lambda block: self.large.settled_block(block)[0].cells
        )

    @cached_property
    def cells(self) -> CellsByBlock:
        """The cells as they are now, predicted or corrected."""
        if self.correction is None:
            return self.predicted
        self.correction.check_image(self.plan.seen)
        cells = self.correction.cells(lambda: Instances.concatenate(list(self.large.all_cells())))
        return CellsByBlock.shared_out(self.plan.grid, cells)

    def _cells_of(self, kind: str) -> CellsByBlock:
        return self.predicted if self._is_predicted(kind) else self.cells

    def _is_predicted(self, kind: str) -> bool:
        """Whether a file shows the cells as predicted, apart from the viewer's label images."""
        return kind == LABELS and self.correction is not None and self.correction.viewed is not None

    def outcome(self) -> Outcome:
        """Make the missing results and return the outcome."""
        wanted = [kind for kind in self.pipeline.settings.formats if kind in IMAGE_FORMATS]
        found = {kind: self.store.find(kind, self.image.name) for kind in wanted}
        left = [
            kind
            for kind in wanted
            if found[kind].is_somebodys and not self.pipeline.replaces(kind, self.correction)
        ]
        missing = [
            kind for kind in wanted if kind in LARGE_FORMATS and kind not in left
            and not found[kind].is_done(self._key(kind), self.plan.seen)
        ]  # fmt: skip
        left_out = [kind for kind in wanted if kind not in LARGE_FORMATS]
        before = self.store.record(SUMMARY, self.image.name)
        is_summed = (
            before is not None and before.key == self._key(SUMMARY) and before.seen is not None
            and before.seen.sha256 == self.plan.seen.sha256
            and before.details.get("run") == self.pipeline.settings.run
            and before.path == str(self.image.path.absolute())
            and before.details.get("left_out", left_out) == left_out
        )  # fmt: skip
        if missing:
            self._write(missing, found)
            self.large.check_unchanged(fully=True)  # measuring has read the pixels again
        summary = before
        # A run that only measures again has no new judgement of the image.
        if summary is None or not is_summed or (missing and self.pipeline.predictor is not None):
            summary = self._summarise(left_out)
        self._clear()
        self.store.forget(FAILURE, self.image.name)
        row = summary.details["row"]
        return Outcome(
            self.image.name, row["cells"], bool(missing) or not is_summed, "",
            tuple(summary.details["warnings"]),
            tuple(self.store.place(kind, self.image.name) for kind in left),
            place_of_correction(self.correction),
            "" if self.pipeline.made_by is None else self.pipeline.maker.model,
            replaced=self._replaced(before), remarks=tuple(summary.details["remarks"]),
            damage=str(summary.details["damage"]),
            diameter=row.get("diameter"), expected_quality=row.get("expected_quality"),
        )  # fmt: skip

    def _replaced(self, before: Record | None) -> Path | None:
        """Return the other image's file whose results lay under this name before."""
        if before is None or before.seen is None or before.seen.sha256 == self.plan.seen.sha256:
            return None
        is_other = before.path != str(self.image.path.absolute()) and not before.is_gone()
        return before.file if is_other else None

    def _key(self, kind: str) -> str:
        return format_key(self.run if self._is_predicted(kind) else self.identity, kind)

    # ---- files --------------------------------------------------------------------------------

    def _parts(self, kind: str) -> Path:
        """Return the folder of a format's parts, which hold these cells only."""
        mark = "" if self.identity == self.run else f"-{self.identity[:16]}"
        return self.large.run / f"{PARTS}{mark}" / kind

    def _write(self, kinds: list[str], found: dict[str, Found]) -> None:
        in_parts = [kind for kind in kinds if LARGE_FORMATS[kind].part is not None]
        for kind in in_parts:
            make_folder(self._parts(kind))
        left = [
            block for block in range(len(self.plan.grid))
            if not all(part_of(self._parts(kind), block).is_file() for kind in in_parts)
        ]  # fmt: skip
        for block in self.large.tracked(left, "files"):
            images = {each: self._block_image(block, each)
                      for each in {self._cells_of(kind) for kind in in_parts}}  # fmt: skip
            for kind in in_parts:
                place, write = part_of(self._parts(kind), block), LARGE_FORMATS[kind].part
                if write is not None and not place.is_file():
                    write(place, images[self._cells_of(kind)])
        for kind in kinds:
            self._join(kind, found[kind])

    def _join(self, kind: str, found: Found) -> None:
        cells = self._cells_of(kind)
        whole = WholeImage(
            self.large.source, self.plan.grid, cells.counts, cells.all, self._parts(kind),
            cells.highest, self.image.source.pixel_size_um,
        )  # fmt: skip
        is_table = kind == "measurements"
        details = details_of(kind, self._block_image(0, cells)) if is_table else {}
        record = Record(
            self.image.name, kind, str(self.image.path.absolute()), self.image.frame,
            self.plan.seen, self._key(kind), self.pipeline.maker.model, own_version(),
            details={"run": self.pipeline.settings.run, **details},
        )  # fmt: skip
        self.store.write(record, found, lambda path: LARGE_FORMATS[kind].join(path, whole))
        shutil.rmtree(self._parts(kind), ignore_errors=True)

    def _block_image(self, block: int, cells: CellsByBlock) -> BlockImage:
        return BlockImage(
            self.large.source, cells.of(block), self.image.path,
            self.image.name, _no_candidates, self.image.frame, block=block, grid=self.plan.grid,
            highest=cells.highest, load_labels=partial(cells.labels, block),
        )  # fmt: skip

    def _clear(self) -> None:
        """Remove what is no longer needed: parts, and the cells of other selections."""
        for path in self.large.folder.iterdir():
            if path.is_dir() and path.name not in ("candidates", self.run):
                shutil.rmtree(path, ignore_errors=True)
        for parts in self.large.run.glob(f"{PARTS}*"):
            shutil.rmtree(parts, ignore_errors=True)
        # An image of this name may have been small before.
        for stored in (self.store.place(kind, self.image.name) for kind in ("candidates", CELLS)):
            stored.unlink(missing_ok=True)

    # ---- the summary ----------------------------------------------------------------------------

    def _summarise(self, left_out: list[str]) -> Record:
        judged, diameter = self._judged()
        warnings = [BLANK] if self.plan.statistics.is_blank else list(judged.warnings)
        cut = cut_cells(self.large) if self.correction is None else []
        remarks = [*cut, *_left_out(left_out)]
        damage = unreadable_pixels(self.large)
        told = [*warnings, *remarks, *([damage] if damage else [])]
        areas, kinds, scores = list[Any](), list[Any](), list[Any]()
        names: tuple[str, ...] = (UNTYPED,)
        for cells in self.cells.all():
            areas.append(cells.areas())
            kinds.append(cells.cell_type)
            scores.append(np.zeros(0, np.float32) if cells.score is None else cells.score)
            names = cells.type_names
        area = np.concatenate(areas)
        row = summary_of(
            self.image.name,
            CellNumbers(names, np.concatenate(kinds), area, np.concatenate(scores)),
            int(area.sum()), self.plan.grid.shape, self.image.source.pixel_size_um,
            model=self.pipeline.maker.model, scale=self.plan.scale, diameter=diameter,
            expected_quality=None if self.correction else judged.expected_quality, warnings=told,
            corrected=place_of_correction(self.correction),
        )  # fmt: skip
        path, seen = str(self.image.path.absolute()), self.plan.seen
        record = Record(
            self.image.name, SUMMARY, path, self.image.frame, seen, self._key(SUMMARY),
            self.pipeline.maker.model, own_version(), warnings=tuple(told),
            details={
                "run": self.pipeline.settings.run, "identity": self.identity, "row": asdict(row),
                "warnings": warnings, "remarks": remarks, "damage": damage, "in_blocks": True,
                "left_out": left_out, "candidates": self.pipeline.maker.key, "cells_of": self.run,
                "expected_quality": judged.expected_quality, "found": int(self.predicted.total),
            },
        )  # fmt: skip
        self.store.keep(record)
        self.store.keep(replace(record, kind=CELLS, key=self.run, details={
            "run": self.pipeline.settings.run, "in_blocks": True,
            "candidates": self.pipeline.maker.key,
        }))  # fmt: skip
        return record

    def _judged(self) -> tuple[QualityAssessment, float | None]:
        """Judge the quality of the cells and their diameter from the sample."""
        if self.plan.statistics.is_blank:
            return QualityAssessment(), None
        sample = Candidates.load(self.large.folder / "sample.npz")
        if self.pipeline.judge is None:
            return self._judged_before(), sample.cell_diameter
        # Painted in the frame of the sample, the only part held in memory.
        cells = replace(self.pipeline.selection, exclude_border=False).instances(sample, None)
        return self.pipeline.judge(self.large.source, sample, cells), sample.cell_diameter

    def _judged_before(self) -> QualityAssessment:
        """Return the judgement of an earlier run with the model on the same cells and image."""
        before = self.store.record(SUMMARY, self.image.name)
        if before is None or before.seen is None or before.details.get("cells_of") != self.run \
                or before.seen.sha256 != self.plan.seen.sha256:  # fmt: skip
            return QualityAssessment()
        return QualityAssessment(
            before.details["expected_quality"], tuple(before.details["warnings"])
        )


def _left_out(kinds: list[str]) -> list[str]:
    """Return sentences on the formats that are not made of large images."""
    if not kinds:
        return []
    named = " and ".join(f"'{kind}'" for kind in kinds)
    which = f"format {named}, which is" if len(kinds) == 1 else f"formats {named}, which are"
    return [f"the image is too large for the {which} not written of it"]


def _no_candidates() -> Candidates:
    raise FormatError("the candidates of a large image are stored per block")

"""The result of a run over many images, collected image by image wherever each was done."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from bigkingxxl.runs.outcome import Outcome
from bigkingxxl.runs.tables import TablesResult


@dataclass
class FolderResult:
    """The result of a run over many images.

    Attributes:
        cells: Number of cells by image id, in order.
        skipped: Number of images that were already done.
        failed: For each image that failed, one sentence by image id.
        warnings: Sentences that the user should read, by image id.
        diameters: Cell diameter assumed for each image, in pixels, by image id.
        expected_quality: By image id, where it is known; see `bigkingxxl.expected_quality`.
        kept: Files that a person changed or made, which were not touched.
        corrected: For each image whose cells a person corrected, the folder in the run that holds
            the corrected cells, by image id.
        kept_models: For corrected images whose cells another model or other settings made, that
            model, by image id.
        replaced: For images whose id had held the results of another file, that file, by image id.
        removed: Files of images that the run no longer has.
        tables: What became of the tables.
        stopped: Why the run ended before it was done, or "".
        left: Number of files that were left when it stopped.
        is_part: Whether the run is a shard, which leaves the tables to the last one.
        remarks: Sentences on what may differ from a user's expectation, by image id.
        damaged: A sentence on the part of an image that could not be read although the rest was
            done, by image id.
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
        """Add the outcome of an image."""
        self.kept += outcome.kept
        if outcome.failure:
            self.failed[outcome.image] = outcome.failure
            return
        self.failed.pop(outcome.image, None)  # a block that failed before may have been done since
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

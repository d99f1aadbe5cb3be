"""What is fixed for a large image before any block is predicted, determined from a sample."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bigkingxxl.candidates import Candidates
from bigkingxxl.files import write_json
from bigkingxxl.images import ImageSource, ImageStatistics, PartOfImage, busy_windows
from bigkingxxl.inference.predictor import ImageContext, Predictor, image_context_of, predict_in
from bigkingxxl.inference.selection import soft_areas, type_votes
from bigkingxxl.runs.large.grid import Grid
from bigkingxxl.runs.records import Stamp

SAMPLE_SIDE = 768  # side of the windows that decide the cell type, in pixels
MARGIN = 64  # pixels of training around a core, at least: a few cells
LONGEST = 0.995  # quantile of the length of the sample's cells that a margin covers
SURE = 0.5  # share of the highest score; a less certain candidate may merge two cells
SLACK = 16  # pixels of training by which two blocks may differ on the centre of a cell
WIDEST = 2  # largest margin, in cores
STEP = 32  # pixels; margins are multiples of it, so that networks see every block on one grid


@dataclass(frozen=True)
class Plan:
    """How the blocks of an image are divided and predicted.

    Attributes:
        key: Fingerprint of the model and the settings.
        seen: Stamp of the image's file.
        grid: The blocks.
        statistics: Of the whole image.
        context: How each part of the image is predicted.
        scale_ratio: Pixels of training per pixel of the image.
        scale: Network pixels per pixel of the image, or None if unknown.
        extent: Length in pixels that all but the longest few cells stay below.
        cell_type: The type of all cells, or None if each has its own or none is known.
    """

    key: str
    seen: Stamp
    grid: Grid
    statistics: ImageStatistics
    context: ImageContext
    scale_ratio: float
    scale: float | None
    extent: float
    cell_type: str | None

    @property
    def margin(self) -> int:
        """Pixels around its core that a block includes at first.

        A block that cuts a cell is predicted again with a margin several times as wide. If many
        cells are long, wide margins for all blocks cost less, because neighbours share the
        network's maps at their seams.
        """
        least = max(MARGIN / self.scale_ratio, self.extent)
        wanted = math.ceil(least / STEP) * STEP
        return max(min(wanted, self.widest), 1)

    @property
    def widest(self) -> int:
        """Pixels around its core that a block includes at most, while a cell is still cut."""
        return max(self.grid.core // WIDEST, 1)

    @property
    def slack(self) -> float:
        """Distance in pixels outside its core within which a block keeps the centres of cells."""
        return min(SLACK / self.scale_ratio, self.margin / 4)

    def identity(self, name: str) -> tuple[str, ...]:
        """Return what every prediction of an image of this name by this plan has in common."""
        return name, self.key, self.seen.sha256, json.dumps(self.context, sort_keys=True)

    def save(self, path: Path) -> None:
        """Write the plan atomically."""
        write_json(path, {
            "key": self.key, "seen": vars(self.seen), "shape": list(self.grid.shape),
            "core": self.grid.core, "statistics": self.statistics.as_json(),
            "context": self.context, "scale_ratio": self.scale_ratio, "scale": self.scale,
            "extent": self.extent, "cell_type": self.cell_type,
        })  # fmt: skip

    @classmethod
    def load(cls, path: Path) -> Plan | None:
        """Load what `save` wrote; None if it is missing or damaged."""
        try:
            values: Mapping[str, Any] = json.loads(path.read_bytes())
            height, width = values["shape"]
            return cls(
                values["key"], Stamp(**values["seen"]),
                Grid((int(height), int(width)), int(values["core"])),
                ImageStatistics.of_json(values["statistics"]), values["context"],
                float(values["scale_ratio"]), values["scale"],
                float(values["extent"]), values["cell_type"],
            )  # fmt: skip
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            return None


def make_plan(
    predictor: Predictor, source: ImageSource, key: str, seen: Stamp
) -> tuple[Plan, Candidates]:
    """Make the plan of an image, and return it with the candidates of a sample, in its frame.

    Raises:
        ImageError: See `candidates` of the predictor.
    """
    context = image_context_of(predictor, source)
    found = []
    for window in busy_windows(source, SAMPLE_SIDE):
        part = predict_in(predictor, PartOfImage(source, window), context)
        found.append(part.shift(window.row0, window.col0, source.shape))
    sample = Candidates.concatenate(found)
    scale_of = getattr(predictor, "scale_of", None)
    plan = Plan(
        key, seen, Grid.of(source.shape), source.statistics, context, sample.scale_ratio,
        None if scale_of is None else float(scale_of(sample)), _extent_of(sample),
        _type_of(sample),
    )  # fmt: skip
    return plan, sample


def _extent_of(sample: Candidates) -> float:
    """Return the length in pixels that all but the longest few cells stay below, or 0."""
    if not len(sample):
        return 0.0
    sides = (sample.boxes[:, 2:] - sample.boxes[:, :2]).max(axis=1)
    return float(np.quantile(sides[sample.score >= SURE * sample.score.max()], LONGEST))


def _type_of(sample: Candidates) -> str | None:
    """Return the type that a sample votes for, as `selection.image_type` counts, or None."""
    shares = sample.type_probability
    if shares is None or not sample.type_names:
        return None
    votes = type_votes(shares, np.asarray(sample.score * soft_areas(sample)))
    return sample.type_names[votes.index(max(votes))]

"""What is fixed of a large image before any of its blocks is looked at, from a sample of it."""

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

SAMPLE_SIDE = 768  # of the windows that tell the type of the cells, in pixels
MARGIN = 64  # around a core, in pixels of training, at least: a few cells
LONGEST = 0.995  # of the cells of the sample a margin is as wide as all but the longest few
SURE = 0.5  # of the highest score: what is less sure may be two cells in one
SLACK = 16  # pixels of training by which two blocks may differ over the centre of a cell
WIDEST = 2  # a margin is at most the core by this
STEP = 32  # margins are multiples of it, so that networks see every block on one grid


@dataclass(frozen=True)
class Plan:
    """How the blocks of an image are looked at, and cut.

    Attributes:
        key: fingerprint of the model and the settings; seen: the image's file.
        grid: the blocks; statistics: of the whole image; context: how each part of it is looked at.
        scale_ratio: pixels of training that a pixel of it is long; scale: network pixels, or
            None where that is unknown.
        extent: pixels that all but the longest few cells are long.
        cell_type: which all of its cells have, or None where each has its own or none is known.
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
        """Pixels around its core that a block sees at first.

        A block that cuts a cell is seen once more, several times as wide. Where many cells are
        long, wide margins for all blocks cost less, as neighbours share what they see over seams.
        """
        least = max(MARGIN / self.scale_ratio, self.extent)
        wanted = math.ceil(least / STEP) * STEP
        return max(min(wanted, self.widest), 1)

    @property
    def widest(self) -> int:
        """Pixels around its core that a block sees where a cell is cut by less."""
        return max(self.grid.core // WIDEST, 1)

    @property
    def slack(self) -> float:
        """Pixels outside its core in which a block keeps the centres of cells."""
        return min(SLACK / self.scale_ratio, self.margin / 4)

    def looked_at(self, name: str) -> tuple[str, ...]:
        """What is the same wherever an image of a name is looked at by this plan."""
        return name, self.key, self.seen.sha256, json.dumps(self.context, sort_keys=True)

    def save(self, path: Path) -> None:
        """Write it whole or not at all."""
        write_json(path, {
            "key": self.key, "seen": vars(self.seen), "shape": list(self.grid.shape),
            "core": self.grid.core, "statistics": self.statistics.as_json(),
            "context": self.context, "scale_ratio": self.scale_ratio, "scale": self.scale,
            "extent": self.extent, "cell_type": self.cell_type,
        })  # fmt: skip

    @classmethod
    def load(cls, path: Path) -> Plan | None:
        """What `save` wrote; None where it is gone or damaged."""
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
    """The plan of an image, and what was seen in a sample of it, in its frame.

    Raises:
        ImageError: see `candidates` of the predictor.
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
    """Pixels that all but the longest few cells of a sample are long; 0 where it has none."""
    if not len(sample):
        return 0.0
    sides = (sample.boxes[:, 2:] - sample.boxes[:, :2]).max(axis=1)
    return float(np.quantile(sides[sample.score >= SURE * sample.score.max()], LONGEST))


def _type_of(sample: Candidates) -> str | None:
    """The type that a sample votes for, as `selection.image_type` counts; None without types."""
    shares = sample.type_probability
    if shares is None or not sample.type_names:
        return None
    votes = type_votes(shares, np.asarray(sample.score * soft_areas(sample)))
    return sample.type_names[votes.index(max(votes))]

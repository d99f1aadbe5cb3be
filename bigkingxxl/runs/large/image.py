"""A large image of a run and the cells of its blocks: each block is done once, by any worker.

    blocks/<image>.blocks/plan.json         what is fixed for the image; see `plan`
                          sample.npz        candidates in a sample of the image
                          candidates/N.npz  all candidates in block N
                          <run>/found/N.npz     the cells of block N, before its seams are settled
                          <run>/settled/N.npz   the cells that belong to block N
                          <run>/parts/<format>/N    its part of a format, until all are joined

Blocks are independent of each other until all cells are found. The rest (`finish`) needs no
network, also goes block by block, and resumes where it was interrupted.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any

from bigkingxxl.candidates import Candidates
from bigkingxxl.errors import FormatError, ImageError
from bigkingxxl.files import make_folder, write_text
from bigkingxxl.geometry import Window
from bigkingxxl.instances import Instances
from bigkingxxl.io.annotations.run_cells import SETTLED
from bigkingxxl.memory import return_free_memory
from bigkingxxl.runs.large.block import (
    cells_of,
    found_in_block,
    load_block,
    predict_block,
    save_block,
)
from bigkingxxl.runs.large.damage import MendedImage
from bigkingxxl.runs.large.formats import (
    part_of,
)
from bigkingxxl.runs.large.grid import Grid
from bigkingxxl.runs.large.plan import Plan, make_plan
from bigkingxxl.runs.large.seams import BlockCells, settled
from bigkingxxl.runs.pipeline import Pipeline, RunImage, changed, pipeline_for
from bigkingxxl.runs.records import Stamp
from bigkingxxl.runs.selection import inside_border
from bigkingxxl.runs.store import RunStore

CACHED_BLOCKS = 128  # blocks whose cells are held in memory: those of a few rows


class LargeImage:
    """An image of a run that is processed block by block.

    Args:
        store: The run's folder.
        pipeline: What is done with every image.
        image: The image.
    """

    def __init__(self, store: RunStore, pipeline: Pipeline, image: RunImage) -> None:
        self.store, self.image = store, image
        self.pipeline, self.correction = pipeline_for(store, pipeline, image.name)
        self.grid = Grid.of(image.source.shape)
        self.folder = store.blocks(image.name)
        self.run = self.folder / self.pipeline.maker.run
        self.source = MendedImage(image.source)
        self._load_settled = lru_cache(CACHED_BLOCKS)(self._settled)

    # ---- what is fixed ------------------------------------------------------------------------

    @cached_property
    def plan(self) -> Plan:
        """What is fixed for the image, as stored or determined now.

        Raises:
            ImageError: The image cannot be read, or its cells were never predicted and the run has
                no model.
        """
        key, place = self.pipeline.maker.key, self.folder / "plan.json"
        with self.store.locked(f"plan of {self.image.name}"):
            plan = Plan.load(place)
            seen = self.store.stamp(self.image.path, None if plan is None else plan.seen)
            self.image.check_as_opened()
            if plan is None or (plan.key, plan.seen.sha256, plan.grid) != (
                key, seen.sha256, self.grid
            ):  # fmt: skip
                plan = self._new_plan(key, seen, place)
        self.source.statistics = plan.statistics
        return plan

    def _new_plan(self, key: str, seen: Stamp, place: Path) -> Plan:
        if self.pipeline.predictor is None:
            raise ImageError(
                f"{self.image.path} has no blocks of this run any more: predict it again",
                file=self.image.path,
            )
        # Another process may have opened the folder later and found it changed.
        self._check_same(seen, fully=True)
        shutil.rmtree(self.folder, ignore_errors=True)
        self.source.taken_missing()
        plan, sample = make_plan(self.pipeline.predictor, self.source, key, seen)
        self._check_same(seen, fully=True)
        if self.source.reason and plan.statistics.finite_fraction == 0:
            raise ImageError(self.source.reason)
        self.source.taken_missing()
        make_folder(self.folder)
        sample.save(self.folder / "sample.npz")
        plan.save(place)  # last, so that a plan implies everything else
        return plan

    # ---- blocks -------------------------------------------------------------------------------

    def missing(self) -> list[int]:
        """Return the blocks whose cells were not found yet, in the order in which to do them."""
        _ = self.plan
        return [block for block in self.grid.walk() if not self._found(block).is_file()]

    def _found(self, block: int) -> Path:
        return part_of(self.run / "found", block).with_suffix(".npz")

    def do_block(self, block: int, *, wait: bool = True) -> bool:
        """Find the cells of a block unless that is done; False if another process is working on it.

        Raises:
            ImageError: The image cannot be read, or it changed.
            OutputError: Nothing can be written.
        """
        plan, place = self.plan, self._found(block)
        if place.is_file():
            return True
        with self.store.locked(f"image {self.image.name}#{block}", wait=wait) as is_mine:
            if not is_mine:
                return False
            if not place.is_file():
                select = partial(self._select, block)
                found, missing = found_in_block(
                    partial(self._predict, block), select, plan, self._earlier_candidates(block)
                )
                save_block(place, found, missing)
                self._check_plan(place, self._candidates(block).with_suffix(".json"))
        return_free_memory()
        return True

    def _select(self, block: int, candidates: Candidates, margin: int) -> BlockCells:
        size = self.image.source.pixel_size_um
        return cells_of(candidates, self.pipeline.selection, self.plan, block, margin, size)

    def _predict(self, block: int, margin: int) -> tuple[Candidates, list[Window]]:
        if self.pipeline.predictor is None:
            raise ImageError(
                f"{self.image.path} was not predicted completely: predict it again",
                file=self.image.path,
            )
        candidates, missing = predict_block(
            self.pipeline.predictor, self.source, self.plan, block, margin
        )
        self.check_unchanged()
        place = self._candidates(block)
        candidates.save(place)
        # Written last: candidates without it do not count as complete.
        write_text(place.with_suffix(".json"), json.dumps({"margin": margin, "missing": missing}))
        return candidates, missing

    def _candidates(self, block: int) -> Path:
        return part_of(self.folder / "candidates", block).with_suffix(".npz")

    def _earlier_candidates(self, block: int) -> tuple[Candidates, list[Window], int] | None:
        """Load the candidates of a block that a run with another selection predicted."""
        place = self._candidates(block)
        try:
            known = json.loads(place.with_suffix(".json").read_bytes())
            margin, missing = int(known["margin"]), [Window(*each) for each in known["missing"]]
            candidates = Candidates.load(place)
        except (OSError, ValueError, LookupError, TypeError, FormatError):
            return None
        is_this = candidates.size == self.grid.around(block, margin).size
        return (candidates, missing, margin) if is_this else None

    def check_unchanged(self, *, fully: bool = False) -> None:
        """Refuse to go on with an image that is being written.

        Args:
            fully: Also walk through the folder of an image in thousands of files; after each block,
                that is done only now and then.

        Raises:
            ImageError: The image's file changed.
        """
        self._check_same(self.plan.seen, fully=fully)

    def _check_same(self, seen: Stamp, *, fully: bool) -> None:
        path = self.image.path
        self.image.check_as_opened()
        try:
            # The file is read again only if its modification time or its size changed.
            is_same = self.store.stamp_now(path, seen, fully=fully).sha256 == seen.sha256
        except OSError as error:
            raise ImageError(
                f"{path} cannot be read any more: {os.strerror(error.errno or 0)}", file=path
            ) from error
        if not is_same:
            raise changed(path)

    def _check_plan(self, *written: Path) -> None:
        """Remove what was written of a block if another process has replaced the plan since.

        Raises:
            ImageError: It has, because the image changed.
        """
        now = Plan.load(self.folder / "plan.json")
        if now is None or (now.key, now.seen.sha256) != (self.plan.key, self.plan.seen.sha256):
            for place in written:
                place.unlink(missing_ok=True)
            raise changed(self.image.path)

    # ---- settled cells ------------------------------------------------------------------------

    def settle(self) -> None:
        """Decide on the cells at the seams, block by block."""
        blocks = range(len(self.grid))
        left = [block for block in blocks if not self._settled_place(block).is_file()]
        for block in self.tracked(left, "seams"):
            around = [self._found_cells(other) for other in self.grid.neighbours(block)]
            found = settled(self._found_cells(block), around)
            if self.pipeline.selection.exclude_border:
                found = found.take(inside_border(found.cells))
            save_block(self._settled_place(block), found, self._missing_in(block))
        self._found_cells_cached.cache_clear()

    def tracked(self, blocks: list[int], what: str) -> Iterable[int]:
        """Yield blocks one by one while showing the progress."""
        return (
            self.pipeline.track(blocks, len(blocks), f"{self.image.name}, {what}") if blocks else ()
        )

    def _settled_place(self, block: int) -> Path:
        return part_of(self.run / SETTLED, block).with_suffix(".npz")

    def _found_cells(self, block: int) -> BlockCells:
        found: BlockCells = self._found_cells_cached(block)[0]
        return found

    def _missing_in(self, block: int) -> list[Window]:
        """Return the windows of a block's core that could not be read."""
        core = self.grid.core_of(block)
        inside = [_common(window, core) for window in self._found_cells_cached(block)[1]]
        return [window for window in inside if window is not None]

    @cached_property
    def _found_cells_cached(self) -> Any:
        return lru_cache(CACHED_BLOCKS)(self._load_found)

    def _load_found(self, block: int) -> tuple[BlockCells, list[Window]]:
        found = load_block(self._found(block))
        if found is None:  # damaged: it is made again
            self._found(block).unlink(missing_ok=True)
            self.do_block(block)
            found = load_block(self._found(block))
        if found is None:
            raise ImageError(f"{self._found(block)} cannot be read", file=self._found(block))
        return found

    def settled_block(self, block: int) -> tuple[BlockCells, list[Window]]:
        """Return a block's own cells, and the windows of its core that could not be read."""
        found: tuple[BlockCells, list[Window]] = self._load_settled(block)
        return found

    def _settled(self, block: int) -> tuple[BlockCells, list[Window]]:
        found = load_block(self._settled_place(block))
        if found is None:
            self._settled_place(block).unlink(missing_ok=True)
            raise ImageError(
                f"{self._settled_place(block)} is damaged: run the command again to restore it",
                file=self._settled_place(block),
            )
        return found

    def all_cells(self) -> Iterator[Instances]:
        """Yield the cells of each block in order, which is the order of their numbers."""
        for block in range(len(self.grid)):
            yield self.settled_block(block)[0].cells


def _common(one: Window, two: Window) -> Window | None:
    both = Window(max(one.row0, two.row0), max(one.col0, two.col0), min(one.row1, two.row1),
                  min(one.col1, two.col1))  # fmt: skip
    return both if both.row0 < both.row1 and both.col0 < both.col1 else None

"""A person who knows the truth and corrects it in the page: what is wrong, and how it is mended.

Every mend is made with the page's own tools by mouse and keyboard, in a real browser; clicks, keys
and what is drawn are counted, and the seconds that they take a person are modelled.

Source of the seconds: the keystroke-level model of Card, Moran and Newell (1980), with a look
(`THINK`) before each mend.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.measure import approximate_polygon, find_contours

from tests.viewer.page.browser import Viewer, Window

Labels = NDArray[np.int64]
Point = tuple[float, float]  # row, column in the image

THINK, POINT, PRESS, KEY = 1.35, 1.1, 0.1, 0.28  # seconds; a press or a release
DRAW_SEGMENT, DRAW_CM = 0.9, 0.16  # seconds per straight piece of a line, and per centimetre
CM_PER_PIXEL = 2.54 / 96  # of the screen, as CSS has it
MOSTLY = 0.5  # the share of a cell above which it lies in another
OUTLINE_TOLERANCE = 1.0  # pixels of the image, from an outline to the polygon that is drawn
CHEAPEST = ("add", "delete", "merge", "cut", "draw", "redraw")


@dataclass
class Effort:
    """What it took so far."""

    clicks: int = 0
    keys: int = 0
    seconds: float = 0.0
    mends: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Fault:
    """Something wrong: how it is mended, how wrong it is, and which cells it concerns.

    Attributes:
        loss: 1 - IoU of the true cell, or 1 for a cell that is none.
        cells: numbers in the page; truths: numbers in the truth.
    """

    kind: str
    loss: float
    cells: tuple[int, ...]
    truths: tuple[int, ...]


@dataclass(frozen=True)
class Overlaps:
    """Pixels that cells and true cells share: int64[C + 1, T + 1], by rank; the first is ground."""

    shared: NDArray[np.int64]
    cells: NDArray[np.int64]
    truths: NDArray[np.int64]

    @classmethod
    def of(cls, labels: Labels, truth: Labels) -> Overlaps:
        cells, cell = np.unique(np.append(0, labels.ravel()), return_inverse=True)
        truths, true = np.unique(np.append(0, truth.ravel()), return_inverse=True)
        pairs = (cell * len(truths) + true)[1:]
        shared = np.bincount(pairs, minlength=len(cells) * len(truths))
        return cls(shared.reshape(len(cells), len(truths)), cells, truths)

    @property
    def iou(self) -> NDArray[np.float64]:
        """float64[C, T], without the ground."""
        area, true_area = self.shared.sum(axis=1), self.shared.sum(axis=0)
        both = self.shared[1:, 1:]
        found: NDArray[np.float64] = both / np.maximum(
            area[1:, None] + true_area[None, 1:] - both, 1
        )
        return found

    def shares(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """float64[C, T] twice: of each cell in a true cell, and of each true cell in a cell."""
        both = self.shared[1:, 1:]
        of_cell = both / np.maximum(self.shared.sum(axis=1)[1:, None], 1)
        return of_cell, both / np.maximum(self.shared.sum(axis=0)[None, 1:], 1)


def faults(labels: Labels, truth: Labels, good: float) -> list[Fault]:
    """What is wrong, the worst first; of what is equally wrong that which is mended soonest.

    Args:
        good: the IoU from which on an outline is left as it is.
    """
    overlaps = Overlaps.of(labels, truth)
    iou, (of_cell, of_truth) = overlaps.iou, overlaps.shares()
    cells, truths = overlaps.cells[1:].tolist(), overlaps.truths[1:].tolist()
    found: list[Fault] = []
    for place, number in enumerate(cells):
        if not len(truths) or max(of_cell[place].max(), of_truth[place].max()) <= MOSTLY:
            found.append(Fault("delete", 1.0, (number,), ()))
    for place, number in enumerate(truths):
        best = float(iou[:, place].max(initial=0.0))
        if best < good:
            found.append(_of_truth(place, number, best, overlaps, of_cell, of_truth))
    return sorted(found, key=lambda each: (-round(each.loss, 1), CHEAPEST.index(each.kind)))


def _of_truth(
    place: int, number: int, best: float, overlaps: Overlaps, of_cell: NDArray[np.float64],
    of_truth: NDArray[np.float64],
) -> Fault:  # fmt: skip
    loss = 1 - best
    cells, truths = overlaps.cells[1:], overlaps.truths[1:]
    hosts = np.flatnonzero(of_truth[:, place] > MOSTLY)
    if len(hosts):
        within = np.flatnonzero(of_truth[hosts[0]] > MOSTLY)
        if len(within) > 1:
            others = (number, *(int(truths[each]) for each in within if each != place))
            return Fault("cut", loss, (int(cells[hosts[0]]),), others)
    pieces = np.flatnonzero(of_cell[:, place] > MOSTLY)
    if len(pieces) > 1:
        whole = overlaps.shared[1:, :][pieces].sum(axis=0)
        inside = int(whole[place + 1])
        joined = inside / (whole.sum() + overlaps.shared[:, place + 1].sum() - inside)
        if joined > best + 0.05:
            return Fault("merge", loss, tuple(int(cells[each]) for each in pieces), (number,))
    if len(pieces) or len(hosts):
        around = {*pieces.tolist(), *hosts.tolist()}
        return Fault("redraw", loss, tuple(int(cells[each]) for each in sorted(around)), (number,))
    return Fault("draw", loss, (), (number,))


class Corrector:
    """Mends one image after the other.

    Args:
        good: see `faults`; told: called after each mend.
    """

    def __init__(
        self, viewer: Viewer, window: Window, good: float,
        told: Callable[[str, Labels, Effort], None],
    ) -> None:  # fmt: skip
        self.viewer, self.window, self.good, self.told = viewer, window, good, told
        self.effort = Effort()
        self._candidates: list[Any] = []

    def correct(self, truth: Labels) -> None:
        """Mend everything in the open image."""
        key = self.window.key
        self._candidates = self.viewer.json(f"/api/images/{key}/candidates")["candidates"]
        tried: set[Fault] = set()
        while True:
            labels = self.window.labels()
            self.told(key, labels, self.effort)
            fault = next((each for each in self._left(labels, truth, tried)), None)
            if fault is None:
                return
            tried.add(_plain(fault))
            self.effort.seconds += THINK
            kind = self._mend(fault, labels, truth)
            self.effort.mends[kind] = self.effort.mends.get(kind, 0) + 1

    def _left(self, labels: Labels, truth: Labels, tried: set[Fault]) -> Iterator[Fault]:
        """What was not tried yet; what could not be cut is drawn, and nothing is drawn twice."""
        drawn = {number for each in tried if each.kind in ("draw", "redraw")
                 for number in each.truths}  # fmt: skip
        for fault in faults(labels, truth, self.good):
            if drawn.intersection(fault.truths[:1]):
                continue
            if _plain(fault) not in tried:
                yield fault
            elif fault.kind == "cut":
                yield Fault("draw", fault.loss, (), fault.truths[:1])

    def _mend(self, fault: Fault, labels: Labels, truth: Labels) -> str:
        """How it was mended."""
        if fault.kind == "delete":
            self._select(labels, fault.cells)
            self.key("Delete")
        elif fault.kind == "merge":
            self._select(labels, fault.cells)
            self.key("m")
        elif fault.kind == "cut":
            self._select(labels, fault.cells)
            self._tool("c")
            self.draw(cut_line(labels == fault.cells[0], truth, fault.truths))
        else:
            shape = truth == fault.truths[0]
            if fault.cells:
                self._select(labels, fault.cells)
                self.key("Delete")
                labels = np.where(np.isin(labels, fault.cells), 0, labels)
            place = self._candidate(shape, labels)
            if place is not None:
                self._tool("n")
                self.click(place)
                return "add"
            self._tool("l")
            taken = np.count_nonzero(labels[shape]) > 0.05 * np.count_nonzero(shape)
            self.draw(outline(shape), keys=["Alt"] if taken else [])
        return fault.kind

    def _candidate(self, shape: NDArray[np.bool_], labels: Labels) -> Point | None:
        """Where to click for the model's own candidate, if one fits."""
        seen = np.zeros(shape.size, bool)  # by surer candidates, which a click would take
        best: tuple[float, Point] | None = None
        free = (labels == 0).ravel()
        for candidate in self._candidates:
            runs = np.array(candidate["runs"]).reshape(-1, 2)
            places = np.concatenate([np.arange(start, start + length) for start, length in runs])
            mine, inside = places[free[places]], shape.ravel()
            both = int(inside[mine].sum())
            iou = both / max(len(mine) + int(inside.sum()) - both, 1)
            alone = mine[inside[mine] & ~seen[mine]]
            seen[places] = True
            if iou >= self.good and len(alone) and (best is None or iou > best[0]):
                best = iou, middle_of(alone, shape.shape[1])
        return None if best is None else best[1]

    # ---- by mouse and keyboard ------------------------------------------------------------------

    def key(self, name: str) -> None:
        """A key."""
        self.window.press(name)
        self.effort.keys += 1
        self.effort.seconds += KEY

    def _tool(self, key: str) -> None:
        names = {"v": "select", "c": "cut", "l": "lasso", "n": "add"}
        if self.window.tool != names[key]:
            self.key(key)

    def _select(self, labels: Labels, cells: Sequence[int]) -> None:
        self._tool("v")
        for index, number in enumerate(cells):
            places = np.flatnonzero((labels == number).ravel())
            self.click(middle_of(places, labels.shape[1]), keys=["Shift"] if index else [])

    def click(self, place: Point, keys: Sequence[str] = ()) -> None:
        """Point and click."""
        self._uncover(place)
        self.window.click(*place, keys=keys)
        self.effort.clicks += 1
        self.effort.keys += len(keys)
        self.effort.seconds += POINT + 2 * PRESS + KEY * len(keys)

    def draw(self, points: Sequence[Point], keys: Sequence[str] = ()) -> None:
        """Point, press, draw along straight pieces, let go."""
        self._uncover(points[0])
        self.window.drag(*points, keys=keys)
        on_screen = np.array([self.window.place(*points[0]), self.window.place(*points[1])])
        in_image = np.array(points[:2])
        zoom = np.linalg.norm(on_screen[1] - on_screen[0]) / max(
            float(np.linalg.norm(in_image[1] - in_image[0])), 1e-9
        )
        length = float(np.linalg.norm(np.diff(np.array(points), axis=0), axis=1).sum())
        self.effort.clicks += 1
        self.effort.keys += len(keys)
        self.effort.seconds += (
            POINT + 2 * PRESS + KEY * len(keys) + DRAW_SEGMENT * (len(points) - 1)
            + DRAW_CM * length * float(zoom) * CM_PER_PIXEL
        )  # fmt: skip

    def _uncover(self, place: Point) -> None:
        """What is selected shows its buttons, and messages lie over the image for a moment."""
        x, y = self.window.place(*place)
        is_free = "([x, y]) => document.elementFromPoint(x, y)?.matches('canvas.image') ?? false"
        if self.window.page.evaluate(is_free, [x, y]):
            return
        if self.window.selected:
            self.key("Escape")
        self.window.page.wait_for_function(is_free, arg=[x, y], timeout=30_000)


def _plain(fault: Fault) -> Fault:
    """Without how wrong it is: what was tried is not tried again."""
    return replace(fault, loss=0.0)


def middle_of(places: NDArray[np.int64], width: int) -> Point:
    """The pixel next to the middle of some pixels, as a place to click on."""
    row, col = np.divmod(places, width)
    nearest = np.argmin((row - row.mean()) ** 2 + (col - col.mean()) ** 2)
    return float(row[nearest]) + 0.5, float(col[nearest]) + 0.5


def outline(shape: NDArray[np.bool_]) -> list[Point]:
    """The corners of a polygon around a cell, as a person would draw it; the lasso closes it."""
    padded = np.pad(shape, 1).astype(float)
    longest = max(find_contours(padded, 0.5), key=len)
    corners = approximate_polygon(longest, OUTLINE_TOLERANCE)[:-1]
    # Middles of pixels are whole numbers there, and at .5 in the page; padding moved all by one.
    return [(float(row) - 0.5, float(col) - 0.5) for row, col in corners]


def cut_line(host: NDArray[np.bool_], truth: Labels, truths: Sequence[int]) -> list[Point]:
    """The straight line that parts two true cells within one cell best, across all of the cell."""
    rows, cols = np.nonzero(host)
    inside = truth[rows, cols]
    first = inside == truths[0]
    nearest = min(truths[1:], key=lambda each: _distance(rows, cols, first, inside == each))
    used = first | (inside == nearest)
    side = np.where(first[used], 1.0, -1.0)
    weight = np.where(first[used], 1 / first.sum(), 1 / (used.sum() - first.sum())) ** 0.5
    places = np.stack((np.ones(int(used.sum())), rows[used] + 0.5, cols[used] + 0.5), axis=1)
    (offset, down, right), *_ = np.linalg.lstsq(places * weight[:, None], side * weight, rcond=None)
    normal = np.array([down, right])
    size = float(np.linalg.norm(normal))
    along = np.array([-right, down]) / size
    start = -offset * normal / size**2
    reach = (np.stack((rows + 0.5, cols + 0.5), axis=1) - start) @ along
    height, width = host.shape
    ends = [start + along * (reach.min() - 3), start + along * (reach.max() + 3)]
    return [(float(np.clip(row, 0.1, height - 0.1)), float(np.clip(col, 0.1, width - 0.1)))
            for row, col in ends]  # fmt: skip


def _distance(
    rows: NDArray[np.int64], cols: NDArray[np.int64], one: NDArray[np.bool_],
    other: NDArray[np.bool_],
) -> float:  # fmt: skip
    return float(np.hypot(rows[one].mean() - rows[other].mean(),
                          cols[one].mean() - cols[other].mean()))  # fmt: skip

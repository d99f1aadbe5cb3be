"""A scripted person who knows the truth and corrects cells in the page.

Every correction is made with the page's own tools by mouse and keyboard in a real browser. Clicks,
keys and strokes are counted, and the seconds that they take a person are modelled.

Source of the seconds: the keystroke-level model of Card, Moran and Newell (1980), with a mental
step (`THINK`) before each correction.
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
Point = tuple[float, float]  # row and column in the image

THINK, POINT, PRESS, KEY = 1.35, 1.1, 0.1, 0.28  # seconds; PRESS is a press or a release
DRAW_SEGMENT, DRAW_CM = 0.9, 0.16  # seconds per straight segment and per centimetre
CM_PER_PIXEL = 2.54 / 96  # of the screen, as in CSS
MOSTLY = 0.5  # a cell lies in another one if more than this fraction does
OUTLINE_TOLERANCE = 1.0  # image pixels between an outline and the polygon that is drawn
CHEAPEST = ("add", "delete", "merge", "cut", "draw", "redraw")


@dataclass
class Effort:
    """The effort so far."""

    clicks: int = 0
    keys: int = 0
    seconds: float = 0.0
    mends: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Fault:
    """An error: how it is corrected, how large it is, and the cells that it concerns.

    Attributes:
        loss: 1 - IoU of the true cell, or 1 for a cell that does not exist.
        cells: Numbers in the page.
        truths: Numbers in the truth.
    """

    kind: str
    loss: float
    cells: tuple[int, ...]
    truths: tuple[int, ...]


@dataclass(frozen=True)
class Overlaps:
    """The pixels shared by cells and true cells, int64[C + 1, T + 1]; index 0 is background."""

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
        """Return the IoU without the background, float64[C, T]."""
        area, true_area = self.shared.sum(axis=1), self.shared.sum(axis=0)
        both = self.shared[1:, 1:]
        found: NDArray[np.float64] = both / np.maximum(
            area[1:, None] + true_area[None, 1:] - both, 1
        )
        return found

    def shares(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the fraction of each cell in each true cell, and the reverse."""
        both = self.shared[1:, 1:]
        of_cell = both / np.maximum(self.shared.sum(axis=1)[1:, None], 1)
        return of_cell, both / np.maximum(self.shared.sum(axis=0)[None, 1:], 1)


def faults(labels: Labels, truth: Labels, good: float) -> list[Fault]:
    """Return the errors, the largest first; equal ones by their correction time.

    Args:
        labels: The cells.
        truth: The true cells.
        good: The IoU from which an outline is accepted.
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
    """Corrects one image after the other.

    Args:
        viewer: The viewer.
        window: The browser window.
        good: See `faults`.
        told: Called after each correction.
    """

    def __init__(
        self, viewer: Viewer, window: Window, good: float,
        told: Callable[[str, Labels, Effort], None],
    ) -> None:  # fmt: skip
        self.viewer, self.window, self.good, self.told = viewer, window, good, told
        self.effort = Effort()
        self._candidates: list[Any] = []

    def correct(self, truth: Labels) -> None:
        """Correct everything in the open image."""
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
        """Yield errors that were not tried yet; what could not be cut is drawn, once."""
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
        """Correct an error and return how."""
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
        """Return where to click for a matching candidate of the model, or None."""
        seen = np.zeros(shape.size, bool)  # covered by better candidates, which a click would take
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

    # ---- mouse and keyboard ---------------------------------------------------------------------

    def key(self, name: str) -> None:
        """Press a key."""
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
        """Point, press, draw along straight segments, and release."""
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
        """Deselect, because buttons of the selection and messages cover the image."""
        x, y = self.window.place(*place)
        is_free = "([x, y]) => document.elementFromPoint(x, y)?.matches('canvas.image') ?? false"
        if self.window.page.evaluate(is_free, [x, y]):
            return
        if self.window.selected:
            self.key("Escape")
        self.window.page.wait_for_function(is_free, arg=[x, y], timeout=30_000)


def _plain(fault: Fault) -> Fault:
    """Return an error without its size, so that it is not tried again."""
    return replace(fault, loss=0.0)


def middle_of(places: NDArray[np.int64], width: int) -> Point:
    """Return the pixel closest to the centre of some pixels, to click on."""
    row, col = np.divmod(places, width)
    nearest = np.argmin((row - row.mean()) ** 2 + (col - col.mean()) ** 2)
    return float(row[nearest]) + 0.5, float(col[nearest]) + 0.5


def outline(shape: NDArray[np.bool_]) -> list[Point]:
    """Return the corners of a polygon around a cell as a person would draw it."""
    padded = np.pad(shape, 1).astype(float)
    longest = max(find_contours(padded, 0.5), key=len)
    corners = approximate_polygon(longest, OUTLINE_TOLERANCE)[:-1]
    # Pixel centres are integers here and half-integers in the page; padding shifted all by one.
    return [(float(row) - 0.5, float(col) - 0.5) for row, col in corners]


def cut_line(host: NDArray[np.bool_], truth: Labels, truths: Sequence[int]) -> list[Point]:
    """Return the straight line across a cell that best separates two true cells."""
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

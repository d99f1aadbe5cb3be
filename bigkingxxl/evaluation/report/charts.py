"""Small SVG charts without a plotting library; their points are links."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from bigkingxxl.evaluation.report.page import anchor

WIDTH, HEIGHT = 460, 300
LEFT, RIGHT, TOP, BOTTOM = 58, 14, 12, 44
LINE_HEIGHT = 14
# The palette of Okabe and Ito, which colour-blind readers can distinguish, also in print.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Axis:
    """An axis of a chart.

    Attributes:
        label: Its label.
        low: The value at its start.
        high: The value at its end.
    """

    label: str
    low: float = 0.0
    high: float = 1.0

    @classmethod
    def around(cls, label: str, values: Sequence[float], *, zero: bool = False) -> Axis:
        """Create an axis that contains all values, with some margin.

        Args:
            label: The label.
            values: The values.
            zero: Whether it contains 0.
        """
        known = [value for value in values if math.isfinite(value)] or [0.0]
        low, high = min(known), max(known)
        if zero:
            low, high = min(low, 0.0), max(high, 0.0)
        room = 0.06 * (high - low) or 1.0
        return cls(label, low if zero and low == 0 else low - room, high + room)

    def ticks(self) -> list[float]:
        """Return about five round values along the axis."""
        span = (self.high - self.low) or 1.0
        step = 10.0 ** math.floor(math.log10(span / 5))
        step *= next(factor for factor in (1, 2, 5, 10) if span / (step * factor) <= 6)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [place * step for place in range(first, last + 1)]


class Chart:
    """Lines, points and bars over two axes."""

    def __init__(
        self, x: Axis, y: Axis, *, names: Mapping[float, str] | None = None, right: int = RIGHT
    ) -> None:
        """Create an empty chart.

        Args:
            x: The horizontal axis.
            y: The vertical axis.
            names: Labels at positions along the x axis, instead of numbers.
            right: The margin on the right in pixels, which has the labels of levels.
        """
        self.x, self.y, self.names, self.right = x, y, names, right
        self._levels: list[tuple[float, str]] = []
        self._parts: list[str] = []
        self._keys: list[tuple[str, str]] = []

    def _at(self, x: float, y: float) -> tuple[str, str]:
        across = (x - self.x.low) / ((self.x.high - self.x.low) or 1)
        up = (y - self.y.low) / ((self.y.high - self.y.low) or 1)
        return (
            f"{LEFT + across * (WIDTH - LEFT - self.right):.1f}",
            f"{HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM):.1f}",
        )

    def line(self, points: Points, name: str = "", *, colour: str = "", dash: bool = False) -> None:
        """Draw a line through points; a named line appears in the legend."""
        known = [point for point in points if all(map(math.isfinite, point))]
        if not known:
            return
        colour = self._colour(name, colour)
        path = " ".join(",".join(self._at(*point)) for point in known)
        style = ' stroke-dasharray="5 4"' if dash else ""
        self._parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.8"{style}/>'
        )

    def points(
        self, points: Points, name: str = "", *, ids: Sequence[str] = (), colour: str = "",
        size: float = 3.5,
    ) -> None:  # fmt: skip
        """Draw points; with ids, each point is a link to its image with the id as tooltip."""
        colour = self._colour(name, colour)
        for place, point in enumerate(points):
            if not all(map(math.isfinite, point)):
                continue
            x, y = self._at(*point)
            dot = f'<circle cx="{x}" cy="{y}" r="{size}" fill="{colour}" fill-opacity=".65"'
            if ids:
                told = escape(f"{ids[place]}: {point[0]:.4g}, {point[1]:.4g}")
                dot = f'<a href="#{anchor(ids[place])}">{dot}><title>{told}</title></circle></a>'
            else:
                dot += "/>"
            self._parts.append(dot)

    def bars(self, points: Points, width: float, *, labels: Sequence[str] = ()) -> None:
        """Draw bars from 0 to each point, with labels above."""
        for place, (x, height) in enumerate(points):
            if not math.isfinite(height):
                continue
            left, top = self._at(x - width / 2, height)
            right, base = self._at(x + width / 2, max(self.y.low, 0))
            self._parts.append(
                f'<rect x="{left}" y="{top}" width="{float(right) - float(left):.1f}" '
                f'height="{max(float(base) - float(top), 0):.1f}" fill="{COLOURS[0]}" '
                'fill-opacity=".75"/>'
            )
            if labels:
                middle = (float(left) + float(right)) / 2
                self._parts.append(_text(middle, float(top) - 3, labels[place], size=9))

    def level(self, y: float, text: str, *, dash: bool = True) -> None:
        """Draw a horizontal line with a label to the right of the chart."""
        if not math.isfinite(y):
            return
        self.line([(self.x.low, y), (self.x.high, y)], colour="#555", dash=dash)
        self._levels.append((float(self._at(self.x.high, y)[1]), text))

    def _level_labels(self) -> list[str]:
        """Place the labels beside their lines, or below each other where they would overlap."""
        labels = sorted(self._levels)
        places = [place for place, _ in labels]
        for i in range(1, len(places)):
            places[i] = max(places[i], places[i - 1] + LINE_HEIGHT)
        lowest = float(HEIGHT - BOTTOM + LINE_HEIGHT * len(places))
        for i in reversed(range(len(places))):
            lowest = min(lowest - LINE_HEIGHT, HEIGHT - BOTTOM)
            places[i] = min(places[i], lowest)
            lowest = places[i]
        left = WIDTH - self.right + 6
        return [
            _text(left, place + 4, text, anchored="start", size=10)
            for place, (_, text) in zip(places, labels, strict=True)
        ]

    def _colour(self, name: str, colour: str) -> str:
        colour = colour or COLOURS[len(self._keys) % len(COLOURS)]
        if name:
            self._keys.append((name, colour))
        return colour

    def svg(self) -> str:
        """Return the chart as SVG."""
        frame = (
            f'<rect x="{LEFT}" y="{TOP}" width="{WIDTH - LEFT - self.right}" '
            f'height="{HEIGHT - TOP - BOTTOM}" fill="none" stroke="#bbb"/>'
        )
        axes = [frame, *self._x_ticks(), *self._y_ticks()]
        label = f"{self.y.label} against {self.x.label}"
        return (
            f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" '
            f'aria-label="{escape(label)}" font-family="system-ui, sans-serif">'
            f"{''.join(axes)}{''.join(self._parts)}{''.join(self._level_labels())}{self._key()}</svg>"
        )

    def _x_ticks(self) -> list[str]:
        ticks = self.names or {value: f"{value:.6g}" for value in self.x.ticks()}
        parts = []
        for value, text in ticks.items():
            x, base = self._at(value, self.y.low)
            parts.append(_text(float(x), float(base) + 15, text))
        middle = (LEFT + WIDTH - self.right) / 2
        return [*parts, _text(middle, HEIGHT - 8, self.x.label, size=12)]

    def _y_ticks(self) -> list[str]:
        parts = []
        for value in self.y.ticks():
            left, up = self._at(self.x.low, value)
            parts.append(
                f'<line x1="{left}" x2="{WIDTH - self.right}" y1="{up}" y2="{up}" stroke="#eee"/>'
            )
            parts.append(_text(float(left) - 5, float(up) + 4, f"{value:.6g}", anchored="end"))
        turned = (
            f'<text transform="translate(14 {(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)" '
            f'text-anchor="middle" font-size="12" fill="#1c1c1c">{escape(self.y.label)}</text>'
        )
        return [*parts, turned]

    def _key(self) -> str:
        parts = []
        for place, (name, colour) in enumerate(self._keys):
            y = TOP + 16 + 15 * place
            parts.append(f'<rect x="{LEFT + 8}" y="{y - 8}" width="10" height="8" '
                         f'fill="{colour}"/>')  # fmt: skip
            parts.append(_text(LEFT + 23, y, name, anchored="start"))
        return "".join(parts)


def _text(x: float, y: float, text: str, *, anchored: str = "middle", size: int = 11) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchored}" font-size="{size}" '
        f'fill="#1c1c1c">{escape(text)}</text>'
    )

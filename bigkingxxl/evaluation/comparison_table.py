"""The table of a comparison, for the terminal and as CSV, Markdown and LaTeX."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from bigkingxxl.display_text import counted
from bigkingxxl.errors import InputError
from bigkingxxl.evaluation.bootstrap import Interval
from bigkingxxl.evaluation.comparison import Comparison, Entry
from bigkingxxl.evaluation.metrics.base import Value
from bigkingxxl.evaluation.scoring import FEWEST_GROUPS
from bigkingxxl.files import check_same_kind, write_text
from bigkingxxl.io.tables.csv_table import write_table

MEGABYTE = 1e6
MANY = 6  # with more metrics a row would be too wide
COSTS = ("s per image", "CPU s per image", "memory, MB")
SUFFIXES = {".csv": "csv", ".md": "Markdown", ".tex": "LaTeX"}
LATEX_START = r"\begin{table}"
CSV_COLUMNS = (
    "method", "metric", "label", "unit", "value", "low_95", "high_95", "difference_from_first",
    "difference_low_95", "difference_high_95",
)  # fmt: skip
# An underscore within a word stays one.
MARKDOWN = re.compile(r"[\\`*|\[\]~]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
LATEX = str.maketrans({
    "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}",
    "<": r"\textless{}", ">": r"\textgreater{}",
})  # fmt: skip


class Cells(NamedTuple):
    """A table of text.

    Attributes:
        header: The names of the columns.
        rows: One row per method and, except for the reference, one for its difference.
        caption: A sentence on what the table shows, without a full stop.
        notes: Further sentences that a reader should know, such as what is in-sample.
    """

    header: tuple[str, ...]
    rows: list[tuple[str, ...]]
    caption: str
    notes: tuple[str, ...]

    @property
    def width(self) -> int:
        """The characters of a line, with two between columns."""
        columns = zip(self.header, *self.rows, strict=True)
        return sum(max(map(len, column)) + 2 for column in columns)


def table_cells(comparison: Comparison, width: int | None = None) -> Cells:
    """Return one row per method with the main value of each metric, and one for its difference.

    With many metrics the table is transposed, and so it is if that fits better.

    Args:
        comparison: The comparison.
        width: The number of characters in a line of the terminal; None for any number.
    """
    turned = _turned_cells(comparison)
    if len(main_values(comparison)) > MANY:
        return turned
    upright = _upright_cells(comparison)
    fits = width is None or upright.width <= width
    return upright if fits or upright.width <= turned.width else turned


def _upright_cells(comparison: Comparison) -> Cells:
    shown = main_values(comparison)
    timed = any(entry.cost is not None for entry in comparison.entries)
    header = ("method", *(value.name for value in shown))
    header += COSTS if timed else ()
    rows = []
    for entry in comparison.entries:
        scores = entry.evaluation.scores.by_key
        numbers = [
            _with_interval(value, scores[value.key].value, scores[value.key].interval)
            for value in shown
        ]
        rows.append((entry.name, *numbers, *(_cost(entry) if timed else ())))
        if entry.name in comparison.differences:
            rows.append(_difference_row(comparison, entry.name, shown, timed))
    return Cells(header, rows, _caption(comparison), comparison.notes)


def _caption(comparison: Comparison) -> str:
    first = comparison.entries[0]
    images, groups = counted(len(comparison.ids), "image"), first.evaluation.scores.groups
    if groups < 2:
        return (
            f"{images} of one group ({first.evaluation.groups.grouped_by}), so that there are no "
            f"intervals; below each method, its differences from {first.name}"
        )
    stars = (
        "* marks differences whose interval does not include 0"
        if groups >= FEWEST_GROUPS
        else f"with fewer than {FEWEST_GROUPS} groups, no difference is marked as clear"
    )
    return (
        f"{images}; brackets contain 95 % bootstrap intervals over {counted(groups, 'group')} "
        f"({first.evaluation.groups.grouped_by}); differences from {first.name} are paired; "
        f"{stars}"
    )


def _turned_cells(comparison: Comparison) -> Cells:
    """Return a table with one row per metric and a column per method and difference."""
    header: tuple[str, ...] = ("",)
    columns: list[list[str]] = [[]]
    timed = any(entry.cost is not None for entry in comparison.entries)
    shown = main_values(comparison)
    columns[0] = [value.name for value in shown] + ([*COSTS] if timed else [])
    for entry in comparison.entries:
        scores = entry.evaluation.scores.by_key
        header += (entry.name,)
        numbers = [
            _with_interval(value, scores[value.key].value, scores[value.key].interval)
            for value in shown
        ]
        columns.append([*numbers, *(_cost(entry) if timed else ())])
        if entry.name in comparison.differences:
            _, *gaps = _difference_row(comparison, entry.name, shown, timed)
            header += (f"{entry.name} - {comparison.entries[0].name}",)
            columns.append(gaps)
    rows = list(zip(*columns, strict=True))
    return Cells(header, rows, _caption(comparison), comparison.notes)


def main_values(comparison: Comparison) -> list[Value]:
    """Return the main value of each metric."""
    return [metric.values[0] for metric in comparison.entries[0].evaluation.scores.metrics]


def _difference_row(
    comparison: Comparison, name: str, shown: Sequence[Value], timed: bool
) -> tuple[str, ...]:
    found = {each.what.key: each for each in comparison.differences[name]}
    texts = []
    for value in shown:
        gap = found[value.key]
        signed = value._replace(better=0)  # shown with its sign
        clear = "*" if gap.is_clear else ""
        texts.append(_with_interval(signed, gap.value, gap.interval) + clear)
    label = f"  {name} - {comparison.entries[0].name}"
    return (label, *texts, *([""] * len(COSTS) if timed else ()))


def _with_interval(value: Value, number: float | None, interval: Interval | None) -> str:
    text = value.text(number)
    if interval is None or number is None:
        return text
    return f"{text} ({value.text(interval[0])} to {value.text(interval[1])})"


def _cost(entry: Entry) -> tuple[str, ...]:
    if entry.cost is None:
        return ("-",) * len(COSTS)
    memory = entry.cost.memory
    return (
        f"{entry.cost.seconds:.2f}", f"{entry.cost.cpu_seconds:.2f}",
        "-" if memory is None else f"{memory / MEGABYTE:.0f}",
    )  # fmt: skip


def write_comparison(path: Path, comparison: Comparison) -> None:
    """Write the table in the format of the ending: .csv (all values), .md or .tex.

    Raises:
        InputError: The ending is another one.
        OutputError: The file cannot be written.
    """
    check_suffix(path)
    suffix = path.suffix.lower()
    if suffix == ".csv":
        write_table(path, CSV_COLUMNS, _csv_rows(comparison))
        return
    cells = table_cells(comparison)
    write_text(path, markdown(cells) if suffix == ".md" else latex(cells))


def check_table_file(path: Path) -> None:
    """Check that the ending stands for a table format, and that no file of another kind is there.

    Raises:
        InputError: It does not; the message names those that do.
        OutputError: The file exists and is not a table of a comparison.
    """
    check_suffix(path)
    starts = {".csv": ",".join(CSV_COLUMNS[:3]) + ",", ".md": "| ", ".tex": LATEX_START}
    check_same_kind(path, starts[path.suffix.lower()], "an earlier table of this kind")


def check_suffix(path: Path) -> None:
    """Check that the ending stands for a table format.

    Raises:
        InputError: It does not; the message names those that do.
    """
    if path.suffix.lower() not in SUFFIXES:
        known = ", ".join(f"{suffix} ({name})" for suffix, name in SUFFIXES.items())
        raise InputError(f"{path}: a table is written as {known}", file=path)


def _csv_rows(comparison: Comparison) -> Iterator[tuple[object, ...]]:
    for entry in comparison.entries:
        gaps = {each.what.key: each for each in comparison.differences.get(entry.name, [])}
        for estimate in entry.evaluation.scores.estimates:
            gap = gaps.get(estimate.what.key)
            yield (
                entry.name, estimate.what.key, estimate.what.label, estimate.what.unit,
                _digits(estimate.value), *_ends(estimate.interval),
                *(("", "", "") if gap is None else (_digits(gap.value), *_ends(gap.interval))),
            )  # fmt: skip
        if entry.cost is not None:
            costs: Mapping[str, tuple[str, float | None]] = {
                "seconds": ("seconds per image", entry.cost.seconds),
                "cpu_seconds": ("processor seconds per image", entry.cost.cpu_seconds),
                "memory": ("highest memory in bytes", entry.cost.memory),
            }
            for key, (label, number) in costs.items():
                yield entry.name, key, label, "", _digits(number), "", "", "", "", ""


def _digits(number: float | None) -> str:
    return "" if number is None else f"{number:.6g}"


def _ends(interval: Interval | None) -> tuple[str, str]:
    return ("", "") if interval is None else (_digits(interval[0]), _digits(interval[1]))


def markdown(cells: Cells) -> str:
    """Format a GitHub-flavoured Markdown table with its caption and notes."""
    lines = [cells.header, ("---",) * len(cells.header), *cells.rows]
    text = "\n".join("| " + " | ".join(map(_markdown_cell, line)) + " |" for line in lines)
    below = [f"{cells.caption}.", *(f"Note: {note}." for note in cells.notes)]
    return "\n\n".join([text, *map(_markdown_text, below)]) + "\n"


def _markdown_cell(cell: str) -> str:
    """Escape a cell, except for a number and the star that marks a clear difference."""
    text = cell.strip()
    if text.endswith(")*"):
        return f"{_markdown_text(text[:-1])}*"
    return text if set(text) == {"-"} else _markdown_text(text)


def _markdown_text(text: str) -> str:
    """Escape a text, which may contain names of files, so that Markdown shows it as it is."""
    text = MARKDOWN.sub(r"\\\g<0>", " ".join(text.split()))
    return text.replace("&", "&amp;").replace("<", "&lt;")


def latex(cells: Cells) -> str:
    """Format a LaTeX table (booktabs) with its caption and notes."""
    lines = [" & ".join(_latex_cell(cell) for cell in row) + r" \\" for row in cells.rows]
    head = " & ".join(cell.translate(LATEX) for cell in cells.header) + r" \\"
    caption = " ".join([f"{cells.caption}.", *(f"Note: {note}." for note in cells.notes)])
    return "\n".join([
        LATEX_START, rf"\caption{{{caption.translate(LATEX)}}}",
        rf"\begin{{tabular}}{{l{'r' * (len(cells.header) - 1)}}}", r"\toprule", head, r"\midrule",
        *lines, r"\bottomrule", r"\end{tabular}", r"\end{table}", "",
    ])  # fmt: skip


def _latex_cell(cell: str) -> str:
    indent = r"\quad " if cell.startswith("  ") else ""
    return indent + cell.strip().translate(LATEX)

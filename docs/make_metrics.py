"""Write the table of metrics in docs/metrics.md anew, from the metrics themselves.

python docs/make_metrics.py
"""

from __future__ import annotations

from pathlib import Path

from bigkingxxl.evaluation.metrics.registry import METRICS, find_class

PAGE = Path(__file__).with_name("metrics.md")
BEGIN, END = "<!-- metrics -->\n", "<!-- /metrics -->\n"
HEADER = (
    "name",
    "metric",
    "formula",
    "cells",
    "several images",
    "an image without cells",
    "source",
)


def table() -> str:
    """Return all metrics as a Markdown table."""
    rows = [HEADER, ("---",) * len(HEADER)]
    for name in METRICS:
        each = find_class(name)
        shown = f"`{name}@0.5`" if each.takes_threshold else f"`{name}`"
        rows.append(
            (shown, each.title, each.formula, each.accepts, each.pooling, each.empty, each.source)
        )
    return "".join("| " + " | ".join(row) + " |\n" for row in rows)


def page(text: str) -> str:
    """Return the page with a new table."""
    before, _, rest = text.partition(BEGIN)
    return before + BEGIN + table() + END + rest.partition(END)[2]


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")

"""docs/metrics.md agrees with the descriptions of the metrics."""

from __future__ import annotations

import importlib.util
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_lists_every_metric_as_it_is() -> None:
    spec = importlib.util.spec_from_file_location("make_metrics", DOCS / "make_metrics.py")
    assert spec is not None
    assert spec.loader is not None
    maker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(maker)
    text = (DOCS / "metrics.md").read_text(encoding="utf-8")
    assert maker.page(text) == text, "run `python docs/make_metrics.py`"
    assert text.count("\n| `") == len(maker.METRICS)

"""Memory of an image of 800 cells, from its maps to its scores (see the benchmark)."""

from __future__ import annotations

from benchmarks.speed.predict_memory import measure


def test_memory_for_an_image_of_800_cells_is_bounded() -> None:
    (peak, _), details = measure(800, 1.0)
    assert peak.reached, f"{peak.value:.0f} MB"
    assert details["found"] == 800
    assert details["competition_map"] == 1

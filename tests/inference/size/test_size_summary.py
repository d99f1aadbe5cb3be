"""The sentence on the cell size that was assumed."""

from __future__ import annotations

import pytest

from bigkingxxl.inference.size.size_summary import size_sentence


@pytest.mark.parametrize(
    ("diameters", "size"),
    [
        ([41.4], "41 px"),
        ([40.8, 41.4], "41 px"),
        ([12, 99.6, 41], "41 px (median; 12 to 100 px)"),
        ([7.77], "7.8 px"),
    ],
)
def test_in_words(diameters: list[float], size: str) -> None:
    assert size_sentence(diameters) == f"assumed cell diameter: {size}; --diameter changes it"
    assert size_sentence(diameters, "ask") == f"assumed cell diameter: {size}; ask"


def test_no_diameters_give_no_sentence() -> None:
    assert size_sentence([]) == ""

"""How large cells were taken to be, in a sentence."""

from __future__ import annotations

import pytest

from bigkingxxl.inference.size.sentence import size_sentence


@pytest.mark.parametrize(
    ("diameters", "size"),
    [
        ([41.4], "41 px across"),
        ([40.8, 41.4], "41 px across"),
        ([12, 99.6, 41], "41 px across (median; 12 to 100)"),
        ([7.77], "7.8 px across"),
    ],
)
def test_in_words(diameters: list[float], size: str) -> None:
    assert size_sentence(diameters) == f"cells taken to be {size}: --diameter changes it"
    assert size_sentence(diameters, "ask") == f"cells taken to be {size}: ask"


def test_nothing_is_said_of_nothing() -> None:
    assert size_sentence([]) == ""

from __future__ import annotations

import pytest

from bigkingxxl.evaluation import comparison_table
from bigkingxxl.evaluation.comparison_table import Cells

UPRIGHT = Cells(("method", *"abcd"), [("x", *["0.500 (0.400 to 0.600)"] * 4)], "two", ())
TURNED = Cells(("", "x"), [(name, "0.500 (0.400 to 0.600)") for name in "abcd"], "two", ())


@pytest.mark.parametrize(
    ("width", "expected"), [(None, UPRIGHT), (200, UPRIGHT), (80, TURNED), (10, TURNED)]
)
def test_a_table_that_a_terminal_cannot_show_is_turned(
    monkeypatch: pytest.MonkeyPatch, width: int | None, expected: Cells
) -> None:
    monkeypatch.setattr(comparison_table, "_upright_cells", lambda _: UPRIGHT)
    monkeypatch.setattr(comparison_table, "_turned_cells", lambda _: TURNED)
    monkeypatch.setattr(comparison_table, "main_values", lambda _: [None] * 4)
    assert comparison_table.table_cells(None, width) is expected  # type: ignore[arg-type]
    assert UPRIGHT.width > 80 > TURNED.width

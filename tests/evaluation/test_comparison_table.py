from __future__ import annotations

import re
from html import unescape

import pytest
from markdown_it import MarkdownIt

from bigkingxxl.evaluation import comparison_table
from bigkingxxl.evaluation.comparison_table import Cells, markdown

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


@pytest.mark.parametrize(
    "name",
    ["a|b.csv", "<b>bold</b>", "**x**", "_old_", "my_model_v2", "a&lt;b", "c:\\runs\\a", "`x`",
     "[a](b)", "~~x~~", "two\nlines"],
)  # fmt: skip
def test_markdown_shows_names_as_they_are(name: str) -> None:
    cells = Cells(("method", "F1"), [(name, "0.5 (0.4 to 0.6)*")], f"compared with {name}", (name,))
    html = MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(markdown(cells))
    assert not re.search(r"<(b|em|strong|code|a|s)\b", html)
    shown = [unescape(each) for each in re.findall(r"<td>(.*?)</td>", html)]
    plain = " ".join(name.split())
    assert shown == [plain, "0.5 (0.4 to 0.6)*"]
    assert unescape(re.findall(r"<p>(.*?)</p>", html)[0]) == f"compared with {plain}."

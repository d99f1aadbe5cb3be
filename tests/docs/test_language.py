"""Pages and messages are in plain English: phrases that were terse, foreign or private stay out.

A list of phrases cannot prove good style. Each entry was found in an earlier text and rewritten, so
that the same habit does not return; `CONTRIBUTING.md` describes the style.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, pages

COUNTED = r"(?:bytes|cells|images|lines?|micrometres|minutes|pixels|points|rows?|seconds|ms|s)"
HABITS = {
    rf"\b(?:\d+ |a )?{COUNTED} an? (?:cell|device|fold|image|line|model|pixel|variant)\b":
        "use 'per': cells per image, one row per cell",
    r"(?<![Tt]here )\b(?:is|are) no (?!longer|more|such|different|better|worse|larger|smaller)\w+":
        "write 'is not a ...'",
    r"\bas dear as\b": "write what it costs",
    r"\bforetell\w*|\bforetold\b": "write 'predict'",
    r"\banew\b": "write 'again'",
    r"\bby heart\b": "write 'overfit' or 'training images'",
    r"\bin the place of\b": "write 'instead of'",
    r"\b(?:goes|going) on\b|\bto go on\b": "write 'continue'",
    r"\bwhat is seen\b|\bhas to say\b|\bmakes? of (?:it|them)\b": "name the thing",
    r"\bwith(?:out)? a word\b|\ba word of\b": "write 'silently' or 'a note says'",
    r"\bstands? beside\b|\bstands twice\b": "write 'is compared with' or 'occurs twice'",
    r"\b(?:look|looked|looks) at once\b|\bis looked at\b|\bare looked at\b": "name the step",
    r"\bexclude each other\b": "write 'cannot be combined'",
    r"\bcut off\b": "write 'truncated'",
}  # fmt: skip
FENCES = re.compile(r"^```.*?^```|`[^`\n]*`|<!--.*?-->", re.M | re.S)
SAY = ("warning", "echo", "note")


def messages(path: Path) -> Iterator[tuple[int, str]]:
    """The line and text of each error message and note of a module, without the values in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func).rpartition(".")[2]
        if not (name.endswith("Error") or name in SAY):
            continue
        for argument in node.args:
            parts = argument.values if isinstance(argument, ast.JoinedStr) else [argument]
            text = "".join(
                part.value
                if isinstance(part, ast.Constant) and isinstance(part.value, str)
                else "X"
                for part in parts
            )
            yield argument.lineno, text


def faults(text: str, first: int = 1) -> list[str]:
    return [
        f"line {first + text.count(chr(10), 0, found.start())}: '{found[0]}': {advice}"
        for pattern, advice in HABITS.items()
        for found in re.finditer(pattern, text)
    ]


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_a_page_is_in_plain_english(page: Path) -> None:
    text = FENCES.sub(lambda code: re.sub(r"[^\n]", "", code[0]), page.read_text(encoding="utf-8"))
    assert not faults(text)


def test_messages_are_in_plain_english() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {fault}"
        for path in sorted((ROOT / "bigkingxxl").rglob("*.py"))
        for line, text in messages(path)
        for fault in faults(text, line)
    ]
    assert not found


@pytest.mark.parametrize(
    "sentence", ["A table has a row a cell.", "12 cells an image are found.", "It is no image."]
)
def test_a_habit_is_found(sentence: str) -> None:
    assert faults(sentence)

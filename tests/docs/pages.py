"""The commands that the README and the pages of `docs` tell readers to type."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
ASSIGNMENT = re.compile(r"[A-Z_]+=\S*")


class Line(NamedTuple):
    """A command: the words of one line of a page, without `VAR=value` before and `> file` after.

    Attributes:
        page: The file, relative to the repository.
        number: Number of the line.
        is_inline: Whether it stands in a sentence, where it may be cut short.
    """

    page: str
    number: int
    words: tuple[str, ...]
    is_inline: bool = False

    def __str__(self) -> str:
        return f"{self.page}:{self.number}: {shlex.join(self.words)}"


def pages() -> list[Path]:
    """Return the README, the papers, the model cards and the pages of the site."""
    papers = ("README.md", "CONTRIBUTING.md", "SECURITY.md")
    return [
        *(ROOT / name for name in papers),
        *sorted((ROOT / "bigkingxxl" / "weights").glob("CARD-*.md")),
        *sorted((ROOT / "docs").rglob("*.md")),
    ]


def blocks(page: Path, language: str) -> list[tuple[int, str]]:
    """Yield the first line's number and the text of each code block in a language."""
    text = page.read_text(encoding="utf-8")
    found = re.finditer(rf"^```{language}\n(.*?)^```", text, re.M | re.S)
    return [(text.count("\n", 0, match.start(1)) + 1, match[1]) for match in found]


def commands(page: Path) -> list[Line]:
    """Yield the commands in a page's `sh` blocks, and the program's own in its sentences."""
    name = page.relative_to(ROOT).as_posix()
    found = []
    for first, block in blocks(page, "sh"):
        joined = re.sub(r"\\\n", lambda _: " \0", block)
        number = first
        for line in joined.splitlines():
            parts = map(_words, re.split(r" && |\|\|", line.replace("\0", "")))
            found += [Line(name, number, words) for words in parts if words]
            number += 1 + line.count("\0")
    text = re.sub(r"^```.*?^```", lambda m: re.sub(r"[^\n]", "", m[0]),
                  page.read_text(encoding="utf-8"), flags=re.M | re.S)  # fmt: skip
    for match in re.finditer(r"`(bigkingxxl [^`]+)`", text):
        number = text.count("\n", 0, match.start()) + 1
        found.append(Line(name, number, _words(match[1].replace("\\|", "|")), is_inline=True))
    return found


def _words(line: str) -> tuple[str, ...]:
    words = shlex.split(line, comments=True)
    while words and ASSIGNMENT.fullmatch(words[0]):
        words = words[1:]
    return tuple(words[: words.index(">")] if ">" in words else words)

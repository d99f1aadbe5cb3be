"""The text of a page, its pictures, and every address it points to."""

from __future__ import annotations

import base64
import io
from html.parser import HTMLParser
from pathlib import Path

from PIL import Image

PICTURES = ("data:image/png;base64", "data:image/jpeg;base64")


class Page(HTMLParser):
    """A parsed page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.pictures: dict[str, Image.Image] = {}
        self.addresses: list[str] = []
        self.places: set[str] = set()
        self.tags: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    @property
    def text(self) -> str:
        """The whole text, with each run of white space as one space."""
        return " ".join(" ".join(self.texts).split())

    @property
    def needs_nothing_else(self) -> bool:
        """Whether every address is in the page itself, and no script runs."""
        inside = all(
            each.startswith(PICTURES) or each.removeprefix("#") in self.places
            for each in self.addresses
        )
        return inside and self.tags.isdisjoint({"script", "link", "iframe", "object"})

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        values = dict(attrs)
        self.addresses += [values[key] or "" for key in ("src", "href") if key in values]
        if "id" in values:
            assert values["id"] not in self.places
            self.places.add(values["id"] or "")
        if tag == "img":
            kind, _, code = (values["src"] or "").partition(",")
            assert kind in PICTURES
            picture = Image.open(io.BytesIO(base64.b64decode(code, validate=True)))
            picture.load()
            self.pictures[values["alt"] or ""] = picture

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

"""Examples in docstrings as code blocks: an extension of griffe, which reads the docstrings.

Without it, `>>>` would be a quotation and `a[0][1]` a link.
"""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension

EXAMPLE = re.compile(r"^( *)>>> .*(?:\n\1\S.*)*", re.M)


def fenced(text: str) -> str:
    """Put fences around each example of a docstring, up to the next empty line."""
    return EXAMPLE.sub(lambda found: f"{found[1]}```pycon\n{found[0]}\n{found[1]}```", text)


class Examples(Extension):
    """Puts fences around the examples in all docstrings."""

    def on_package(self, *, pkg: Any, **_: Any) -> None:
        """Convert the docstring of the package itself, for which `on_object` is not called."""
        self.on_object(obj=pkg)

    def on_object(self, *, obj: Any, **_: Any) -> None:
        """Convert the docstring of a module, class, function or attribute."""
        if obj.docstring is not None:
            obj.docstring.value = fenced(obj.docstring.value)

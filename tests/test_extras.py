"""The command that adds an extra fits the way the package was installed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bigkingxxl import extras

ROOT = Path(__file__).parents[1]


class Installed:
    """A distribution with a `direct_url.json`."""

    def __init__(self, url: dict[str, Any] | None) -> None:
        self.url = url

    def read_text(self, name: str) -> str | None:
        assert name == "direct_url.json"
        return None if self.url is None else json.dumps(self.url)


def test_a_checkout_names_its_own_folder() -> None:
    assert extras.install("train") == f'pip install "{ROOT}[train]"'


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (None, "bigkingxxl[train]"),
        ({"url": "file:///data/a%20b/cells", "dir_info": {"editable": True}},
         "/data/a b/cells[train]"),
        ({"url": "file:///tmp/bigkingxxl-1-py3-none-any.whl", "archive_info": {}},
         "bigkingxxl[train] @ file:///tmp/bigkingxxl-1-py3-none-any.whl"),
        ({"url": "https://host/cells.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}},
         "bigkingxxl[train] @ git+https://host/cells.git@abc"),
    ],
)  # fmt: skip
def test_an_extra_is_installed_from_the_original_source(
    url: dict[str, Any] | None, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extras, "__file__", str(tmp_path / "site-packages/bigkingxxl/extras.py"))
    monkeypatch.setattr("bigkingxxl.extras.metadata.distribution", lambda _: Installed(url))
    assert extras.install("train") == f'pip install "{expected}"'

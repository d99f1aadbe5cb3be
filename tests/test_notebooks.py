"""What the notebooks import exists; `make notebooks` and `make cellpose` run them, in minutes."""

from __future__ import annotations

import ast
import importlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = ("Cellpose.ipynb", "detectron/train.ipynb", "detectron/inference.ipynb")


def imports(path: Path) -> Iterator[ast.ImportFrom]:
    """The imports from this package in the code cells of a notebook."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    for cell in cells:
        if cell["cell_type"] == "code":
            lines = "".join(cell["source"]).splitlines()
            code = "\n".join(line for line in lines if line[:1] not in ("!", "%"))
            for node in ast.walk(ast.parse(code)):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("bigking"):
                    yield node


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_what_a_notebook_imports_exists(name: str) -> None:
    found = list(imports(ROOT / name))
    assert found
    for node in found:
        module = importlib.import_module(str(node.module))
        assert [each.name for each in node.names if not hasattr(module, each.name)] == []

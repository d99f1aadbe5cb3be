"""Private names of other packages: few, each with a reason, and present in what is installed."""

from __future__ import annotations

import ast
import io
import os
import pickle
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

PACKAGE = Path(__file__).parents[1] / "bigkingxxl"

# By file: names without a public counterpart. A new entry needs a test below.
ALLOWED = {
    # The reader and the writer in Python: those in C trust sizes, and names cannot be chosen there.
    "io/annotations/safe_pickle.py": {"pickle._Unpickler"},
    "io/annotations/cellpose.py": {"pickle._Pickler"},
    # The number of pages of a file in which ImageJ wrote one page for many planes.
    "io/images/tiff_series.py": {"series._pages"},
    # The library's own, which has no other name; the second is restored after the library's change.
    "networks/cellpose_files.py": {"models._MODEL_URL", "ssl._create_default_https_context"},
}
DOCUMENTED = {"_exit", "_replace", "_asdict", "_fields", "_make"}  # of os and of named tuples


def private_names(path: Path, own: set[str]) -> set[str]:
    """Attributes and imports of other packages in a file that begin with an underscore."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and is_private(node.attr) and node.attr not in own:
            found.add(f"{ast.unparse(node.value)}.{node.attr}")
        if isinstance(node, ast.ImportFrom | ast.Import):
            module = getattr(node, "module", None) or ""
            parts = [*module.split("."), *(part for a in node.names for part in a.name.split("."))]
            if module.split(".")[0] != "bigkingxxl" and any(map(is_private, parts)):
                found.add(ast.unparse(node))
    return found


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in {*DOCUMENTED, "_"}


def own_names() -> set[str]:
    """Private names that the package itself defines."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                found.add(node.name)
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                is_of_a_module = isinstance(node.value, ast.Name) and node.value.id == "ssl"
                found |= set() if is_of_a_module else {node.attr}
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                found.add(node.id)
    return found


def test_no_other_private_name_is_used() -> None:
    own = own_names()
    found = {
        path.relative_to(PACKAGE).as_posix(): names
        for path in PACKAGE.rglob("*.py") if (names := private_names(path, own))
    }  # fmt: skip
    assert found == ALLOWED


def test_no_object_changes_its_class() -> None:
    changed = [
        f"{path}:{node.lineno}"
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr == "__class__"
        and isinstance(node.ctx, ast.Store)
    ]  # fmt: skip
    assert not changed


def test_pickles_reader_and_writer_in_python_are_there() -> None:
    assert callable(pickle._Unpickler.dispatch[pickle.SETITEMS[0]])
    stream = io.BytesIO()
    pickle._Pickler(stream, protocol=3).dump({"a": [1]})
    stream.seek(0)
    assert pickle._Unpickler(stream).load() == {"a": [1]}


@pytest.mark.parametrize(
    ("options", "pages"), [({"metadata": None}, 3), ({"imagej": True}, 1), ({}, 1)]
)
def test_tifffile_provides_the_number_of_pages(
    tmp_path: Path, options: dict[str, Any], pages: int
) -> None:
    """If one page is described and others follow it, only the private list says so."""
    path = tmp_path / "a.tif"
    planes = np.zeros((3, 8, 8), np.uint8)
    tifffile.imwrite(path, planes, photometric="minisblack", **options)
    with tifffile.TiffFile(path) as tiff:
        assert len(tiff.series[0]._pages) == pages
        assert len(tiff.series[0].pages) == 3


@pytest.mark.skipif(find_spec("cellpose") is None, reason="cellpose is not installed")
def test_cellpose_provides_its_model_folder() -> None:
    from cellpose import models

    assert models._MODEL_URL.startswith("https://")
    assert Path(models.MODEL_DIR).name == "models" or os.environ.get("CELLPOSE_LOCAL_MODELS_PATH")

"""The worked examples of docs/architecture.md do what the page says."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import tifffile

import bigkingxxl as bk
from bigkingxxl.candidates import Candidates
from bigkingxxl.errors import ImageError, SettingsError
from bigkingxxl.geometry import whole
from bigkingxxl.images import ArrayImage
from bigkingxxl.instances import Instances
from tests.docs.pages import ROOT

PAGE = ROOT / "docs" / "architecture.md"
# Files, the page's own state, and variables of the examples.
OTHER_NAMES = {
    "app.change",
    "cells.save",
    "model.safetensors",
    "pyproject.toml",
    "registry.readers",
}
LABELS = np.array([[1, 1, 0, 2, 2], [1, 1, 0, 2, 2], [0, 0, 0, 2, 2]], np.int32)


def example(name: str) -> ModuleType:
    """Return the module in a code block of the page."""
    text = PAGE.read_text(encoding="utf-8")
    found = re.search(rf"<!-- example: {name} -->\n```python\n(.*?)^```", text, re.M | re.S)
    assert found, f"the page has no example '{name}'"
    module = ModuleType(f"example_{name}")
    code = compile(found[1], f"{PAGE.name}:{name}", "exec", dont_inherit=True)
    exec(code, module.__dict__)  # noqa: S102
    return module


def test_every_room_has_a_place_on_the_page() -> None:
    page = PAGE.read_text(encoding="utf-8")
    rooms = [path.parent.name for path in (ROOT / "bigkingxxl").glob("*/__init__.py")]
    assert len(rooms) > 12
    assert not [room for room in rooms if room != "weights" and f"`{room}/`" not in page]


def test_modules_and_names_on_the_page_exist() -> None:
    page = PAGE.read_text(encoding="utf-8")
    text = re.sub(r"^```.*?^```", "", page, flags=re.M | re.S)
    names = set(re.findall(r"`(?:bigkingxxl\.)?([a-z_]+(?:\.\w+)+)(?:\(.*?\))?`", text))
    assert len(names) > 20
    assert not sorted(name for name in names - OTHER_NAMES if not is_defined(name))
    files = set(re.findall(r"`(?:bigkingxxl/)?([a-z_]+(?:/[a-z_]+)*(?:\.py|/))`", text))
    assert len(files) > 20
    assert not [file for file in files if not (ROOT / "bigkingxxl" / file).exists()]


def is_defined(name: str) -> bool:
    """Return whether a dotted name is a module file or stands in its module."""
    place = ROOT / "bigkingxxl"
    first, *rest = name.split(".")
    while (place / first).is_dir() and rest:
        place, (first, *rest) = place / first, rest
    module = place / f"{first}.py"
    if (place / name).is_file() or (place / first).is_dir() or (module.is_file() and not rest):
        return True
    if rest == ["py"]:
        return module.is_file()
    text = (module if module.is_file() else place / "__init__.py").read_text(encoding="utf-8")
    return re.search(rf"\b{(rest or [first])[-1]}\b", text) is not None


def test_a_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bigkingxxl.io.images import open_image, registry

    reader = example("reader").READER
    ours = registry.readers()
    monkeypatch.setattr(registry, "readers", lambda: (reader, *ours))
    path = tmp_path / "a.txtimage"
    path.write_text("TEXTIMAGE 2x3\n1 2 3\n4 5 6\n", encoding="utf-8")
    image = open_image(path)
    assert image.read_raw(whole(image.shape)).tolist() == [[[1, 2, 3], [4, 5, 6]]]
    path.write_text("TEXTIMAGE 2x3\n1 2 3\n", encoding="utf-8")
    with pytest.raises(ImageError):
        open_image(path)
    path.write_text("TEXTIMAGE 2xthree\n1 2 3\n", encoding="utf-8")
    with pytest.raises(ImageError):
        open_image(path)
    path.write_text(f"TEXTIMAGE {10**6}x{10**6}\n", encoding="utf-8")
    with pytest.raises(ImageError):
        open_image(path)


def test_a_format_of_annotations(tmp_path: Path) -> None:
    from bigkingxxl.errors import FormatError

    runs = example("annotations").RUNS
    cells = Instances.from_label_map(LABELS)
    path = tmp_path / f"a{runs.ending}"
    runs.write(path, cells, None)
    assert np.array_equal(runs.read(path, cells.size).label_map(), LABELS)
    with pytest.raises(FormatError):
        runs.read(path, (2, 5))
    path.write_text("cell,row,start,stop\n0,0,zero,2\n", encoding="utf-8")
    with pytest.raises(FormatError):
        runs.read(path, cells.size)
    runs.write(path, Instances.empty((3, 5)), None)
    assert len(runs.read(path, (3, 5))) == 0


def test_a_format_of_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bigkingxxl.runs import outputs

    monkeypatch.setitem(outputs.IMAGE_FORMATS, "centres", example("results").CENTRES)
    cells = bk.Cells(
        Instances.from_label_map(LABELS), Candidates.empty((3, 5)), ArrayImage(LABELS, "a")
    )
    path = cells.save(tmp_path / "a.csv", "centres")
    assert path.read_text(encoding="utf-8").splitlines() == ["id,row,col", "1,0.5,0.5", "2,1.0,3.5"]


def test_a_metric(monkeypatch: pytest.MonkeyPatch) -> None:
    from bigkingxxl.evaluation.metrics import registry

    name = "bigkingxxl.evaluation.metrics.median_area"
    monkeypatch.setitem(sys.modules, name, example("metric"))
    monkeypatch.setitem(registry.METRICS, "median-area", "median_area:MedianArea")
    found = np.where(LABELS == 2, 0, LABELS)
    assert bk.score(LABELS, found, "median-area")["median-area"] == pytest.approx(np.log2(4 / 5))
    assert bk.score(LABELS, np.zeros_like(LABELS), "median-area")["median-area"] is None


def test_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    from bigkingxxl.methods import registry

    module: Any = example("network")
    place = "bigkingxxl.methods.plain_example"
    monkeypatch.setitem(sys.modules, place, module)
    monkeypatch.setitem(registry.METHODS, "plain", f"{place}:Plain")
    method = registry.make_method("plain", {"width": 4}, ("cell",))
    network = method.build()
    assert any(name.startswith(module.Plain.output_layer) for name in network.state_dict())
    (found,) = method.detect(network, torch.zeros(1, 1, 24, 32))
    assert found.size == (24, 32)
    with pytest.raises(SettingsError):
        registry.make_method("plain", {"widht": 4}, ("cell",))


def test_a_tool_of_the_page() -> None:
    """Build the file that is shown, and run the page's own tests on it, which need Node.js."""
    shown = re.search(
        r"<!-- example: tool -->\n```ts\n(.*?)^```", PAGE.read_text("utf-8"), re.M | re.S
    )
    test = ROOT / "bigkingxxl" / "viewer" / "page" / "test"
    assert shown
    assert shown[1] == (test / "example_tool.ts").read_text("utf-8")
    assert "./example_tool.ts" in (test / "example_tool.test.ts").read_text("utf-8")


def test_a_package_of_your_own(tmp_path: Path) -> None:
    """Install the examples as a package, used by commands in processes of their own."""
    text = PAGE.read_text(encoding="utf-8")
    declared = re.search(r"<!-- example: package -->\n```toml\n(.*?)^```", text, re.M | re.S)
    assert declared
    project = tomllib.loads(declared[1])["project"]
    site = tmp_path / "site"
    (site / "my_cells").mkdir(parents=True)
    for name, file in {
        "reader": "text_images",
        "results": "centres",
        "metric": "median_area",
    }.items():
        code = re.search(rf"<!-- example: {name} -->\n```python\n(.*?)^```", text, re.M | re.S)
        assert code
        (site / "my_cells" / f"{file}.py").write_text(code[1], encoding="utf-8")
    meta = site / f"my_cells-{project['version']}.dist-info"
    meta.mkdir()
    (meta / "METADATA").write_text("Metadata-Version: 2.1\nName: my-cells\nVersion: 1.0\n")
    (meta / "entry_points.txt").write_text("".join(
        f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in points.items())
        for group, points in project["entry-points"].items()
    ))  # fmt: skip
    images, truth = tmp_path / "images", tmp_path / "truth"
    for folder in (images, truth):
        folder.mkdir()
    rows = "\n".join(" ".join("9" if 8 <= r < 20 and 8 <= c < 24 else "1" for c in range(40))
                     for r in range(40))  # fmt: skip
    (images / "a.txtimage").write_text(f"TEXTIMAGE 40x40\n{rows}\n")
    labels = np.zeros((40, 40), np.uint16)
    labels[8:20, 8:24] = 1
    tifffile.imwrite(truth / "a.tif", labels)
    tifffile.imwrite(
        tmp_path / "half.tif", np.where(np.arange(40) < 16, labels, 0).astype(np.uint16)
    )
    found = tmp_path / "found"
    found.mkdir()
    (tmp_path / "half.tif").rename(found / "a.tif")

    def run(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "bigkingxxl", *words], cwd=ROOT, check=False,
            capture_output=True, text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join((str(ROOT), str(site)))},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    run("predict", str(images), "--out", str(tmp_path / "out"), "--format", "centres", "--quiet")
    assert (tmp_path / "out" / "centres" / "a.csv").read_text().startswith("id,row,col")
    answer = run("evaluate", str(found), str(truth), "--metrics", "median-area", "--json")
    assert json.loads(answer)["metrics"]["median-area"]["value"] == -1  # half of the area

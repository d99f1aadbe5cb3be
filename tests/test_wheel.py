"""The wheel alone, in an empty environment: small, and with every promise of the base install."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.support import instances_of

ROOT = Path(__file__).parents[1]
LIMIT_BYTES = 480_000_000

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        "BIGKINGXXL_OFFLINE" in os.environ,
        reason="BIGKINGXXL_OFFLINE is set: the wheel's dependencies cannot be installed",
    ),
]


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command far from the checkout, whose package must not be found by accident."""
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    return subprocess.run(
        list(map(str, command)), cwd=cwd, env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip


def succeeded(*command: str | Path, cwd: Path) -> str:
    done = run(*command, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def uv() -> str | None:
    beside = Path(sys.executable).parent / "uv"
    return str(beside) if beside.is_file() else shutil.which("uv")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    if tool := uv():
        succeeded(tool, "build", "--wheel", "--out-dir", folder, ROOT, cwd=folder)
    else:
        succeeded(sys.executable, "-m", "build", "--wheel", "--outdir", folder, ROOT, cwd=folder)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of executables of an environment that holds only the wheel and its base."""
    folder = tmp_path_factory.mktemp("empty")
    environment = folder / "venv"
    binaries = environment / "bin"
    if tool := uv():
        succeeded(tool, "venv", "--python", sys.executable, environment, cwd=folder)
        succeeded(tool, "pip", "install", "--python", binaries / "python", wheel, cwd=folder)
    else:
        succeeded(sys.executable, "-m", "venv", environment, cwd=folder)
        succeeded(binaries / "python", "-m", "pip", "install", "--no-compile", wheel, cwd=folder)
    return binaries


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten images of three cells each, in Kaggle's layout."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "train").mkdir()
    stack = np.zeros((3, 40, 60), bool)
    for index, mask in enumerate(stack):
        mask[5 : 20 + index, 4 + 18 * index : 16 + 18 * index] = True
    lines = ["id,annotation,width,height,cell_type"]
    predicted = ["id,predicted"]
    for number in range(10):
        name = f"image{number}"
        noise = np.random.default_rng(number).integers(0, 60, stack.shape[1:])
        pixels = (stack.any(axis=0) * 90 + 100 + noise).astype(np.uint8)
        Image.fromarray(pixels).save(folder / "train" / f"{name}.png")
        for text in instances_of(stack).kaggle_strings():
            lines.append(f"{name},{text},60,40,cort")
            predicted.append(f"{name},{text}")
    (folder / "train.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "submission.csv").write_text("\n".join(predicted) + "\n", encoding="utf-8")
    return folder


def test_the_wheel_contains_all_needed_files(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    sources = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "bigkingxxl").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    # Of the viewer's page, the built files are shipped, and its sources are not.
    page = {each for each in sources if each.startswith("bigkingxxl/viewer/page/")}
    built = {each for each in page if each.startswith("bigkingxxl/viewer/page/dist/")}
    assert {
        "bigkingxxl/viewer/page/dist/page.js",
        "bigkingxxl/viewer/page/dist/index.html",
    } <= built
    assert not (page - built) & names
    sources -= page - built
    assert {"bigkingxxl/py.typed", "bigkingxxl/recipes/unetr.py"} <= sources
    assert sources <= names
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"bigkingxxl"}
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_base_install_is_small(installed: Path) -> None:
    """Below 480 MB unpacked, without the bytecode that Python adds later."""
    files = [path for path in installed.parent.rglob("*") if path.is_file()]
    size = sum(path.lstat().st_size for path in files if path.suffix != ".pyc")
    assert size < LIMIT_BYTES, f"{size / 1e6:.0f} MB"
    packages = {path.name for path in installed.parent.glob("lib/*/site-packages/*")}
    assert not packages & {
        "torch",
        "torchvision",
        "timm",
        "lightning",
        "monai",
        "cellpose",
        "numba",
    }


@pytest.mark.parametrize(
    "arguments", [[], ["data"], ["data", "info"], ["train"], ["predict"], ["evaluate"], ["demo"]]
)
def test_help_works_there(installed: Path, tmp_path: Path, arguments: list[str]) -> None:
    shown = succeeded(installed / "bigkingxxl", *arguments, "--help", cwd=tmp_path)
    assert shown.startswith(" ".join(["Usage: bigkingxxl", *arguments]))


def test_data_is_described_and_split_there(installed: Path, data: Path, tmp_path: Path) -> None:
    text = succeeded(installed / "bigkingxxl", "data", "info", data, "--json", cwd=tmp_path)
    assert json.loads(text)["cells"] == 30
    succeeded(installed / "bigkingxxl", "data", "split", data, cwd=tmp_path)
    assert (data / "folds.csv").is_file()


def test_predictions_are_scored_there(installed: Path, data: Path, tmp_path: Path) -> None:
    text = succeeded(
        installed / "bigkingxxl", "evaluate", data / "submission.csv", data / "train.csv", "--json",
        cwd=tmp_path,
    )  # fmt: skip
    assert json.loads(text)["competition_map"] == 1


def test_real_sized_cells_are_outlined_there(installed: Path, tmp_path: Path) -> None:
    """A biologist's first minute: no training, no download, cells in files."""
    program = installed / "bigkingxxl"
    succeeded(
        program, "data", "synthesize", "field", "--images", "1", "--cell-type", "cort",
        cwd=tmp_path,
    )  # fmt: skip
    (image,) = (tmp_path / "field" / "train").glob("*.png")
    with Image.open(image) as picture:
        assert picture.size == (704, 520)
    formats = "labels,overlay,measurements,summary,submission"
    succeeded(program, "predict", image, "--out", "cells", "--format", formats, cwd=tmp_path)
    labels = tifffile.imread(tmp_path / "cells" / "labels" / f"{image.stem}.tif")
    assert labels.shape == (520, 704)
    assert labels.max() >= 5
    text = succeeded(
        program, "evaluate", "cells/submission.csv", "field/train.csv", "--json", cwd=tmp_path
    )
    assert json.loads(text)["competition_map"] > 0.15


def test_plots_name_the_extra_they_need(installed: Path, data: Path, tmp_path: Path) -> None:
    done = run(installed / "bigkingxxl", "data", "info", data, "--plot", "plot.png", cwd=tmp_path)
    assert done.returncode == 2
    assert 'pip install "bigkingxxl[plots]' in done.stderr


def test_training_names_the_extra_it_needs(installed: Path, data: Path, tmp_path: Path) -> None:
    done = run(installed / "bigkingxxl", "train", "unetr", "--data", data, cwd=tmp_path)
    assert done.returncode == 2
    assert 'pip install "bigkingxxl[train]' in done.stderr
    assert done.stderr.count("\n") == 1


def test_types_are_shipped(installed: Path, tmp_path: Path) -> None:
    """`py.typed` makes a type checker use the package's hints."""
    where = succeeded(installed / "python", "-c",
                      "import bigkingxxl; print(bigkingxxl.__path__[0])", cwd=tmp_path)  # fmt: skip
    assert (Path(where.strip()) / "py.typed").is_file()
    assert str(ROOT) not in where

"""`bigkingxxl predict` with an exported model: its imports, refusals and other effects."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from safetensors.numpy import save_file
from typer.testing import CliRunner

import bigkingxxl
from bigkingxxl.cli import main
from bigkingxxl.errors import MissingExtraError
from bigkingxxl.extras import install
from bigkingxxl.images import ImageSource
from bigkingxxl.inference.load_model import load_predictor
from bigkingxxl.io.annotations.label_images import read_label_image
from bigkingxxl.io.images import find_images
from bigkingxxl.io.images import open_images as images_of
from bigkingxxl.model_files import METADATA_KEY
from bigkingxxl.runs.folder import predict_folder, run_settings
from bigkingxxl.runs.folder_result import FolderResult
from bigkingxxl.runs.outputs import FORMATS
from bigkingxxl.runs.pipeline import Pipeline
from bigkingxxl.runs.selection import Selection
from tests.refusals import check
from tests.tiny_onnx import PLACES, blobs, save_tiny_onnx, tiny_card, tiny_graph


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return save_tiny_onnx(tmp_path / "tiny.onnx")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    Image.fromarray(blobs()).save(tmp_path / "blobs.png")
    return tmp_path / "blobs.png"


def refused(image: Path, model: Path) -> str:
    """Return the one sentence on stderr of a command whose error the user can fix."""
    out = image.parent / "out"
    arguments = ["predict", str(image), "--model", str(model), "--out", str(out), "--quiet"]
    result = CliRunner().invoke(main.app, arguments)
    assert result.exit_code == 2, result.output
    assert not out.exists()
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    return lines[0]


def test_nothing_heavy_is_imported(image: Path, model: Path, tmp_path: Path) -> None:
    """A base install loads neither torch nor anything else that only slows the start."""
    script = (
        "import sys\n"
        "from bigkingxxl.cli.main import app\n"
        f"app(['predict', {str(image)!r}, '--model', {str(model)!r}, '--quiet',\n"
        f"     '--out', {str(tmp_path / 'out')!r}], standalone_mode=False)\n"
        "print(*sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    labels = read_label_image(tmp_path / "out" / "labels" / "blobs.tif")
    assert len({int(labels[place]) for place in PLACES} - {0}) == len(PLACES)
    assert (tmp_path / "out" / "overlays" / "blobs.png").is_file()
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert "onnxruntime" in loaded
    assert not loaded & {
        "torch", "torchvision", "timm", "lightning", "monai", "cellpose", "numba",
        "scipy", "skimage", "matplotlib", "tifffile", "onnx", "yaml",
    }  # fmt: skip


# ---- models that cannot be used ------------------------------------------------------------------


def test_a_foreign_onnx_file_is_refused(image: Path, tmp_path: Path) -> None:
    foreign = save_tiny_onnx(tmp_path / "foreign.onnx", ours=False)
    assert str(foreign) in refused(image, foreign)


@pytest.mark.parametrize("kept", [0.0, 0.01, 0.3, 0.9])
def test_an_onnx_file_that_is_cut_off(image: Path, model: Path, kept: float) -> None:
    content = model.read_bytes()
    model.write_bytes(content[: int(kept * len(content))])
    assert str(model) in refused(image, model)


def test_an_operator_that_the_runtime_does_not_know(image: Path, tmp_path: Path) -> None:
    graph = tiny_graph()
    graph.node[2].op_type = "Foretell"
    outside_ranges = save_tiny_onnx(tmp_path / "outside_ranges.onnx", graph)
    sentence = refused(image, outside_ranges)
    assert str(outside_ranges) in sentence
    assert "Foretell" in sentence


def test_a_file_that_is_no_onnx(image: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.onnx"
    text.write_text("not a model at all\n")
    assert str(text) in refused(image, text)


def test_a_torch_model_in_a_base_install_names_the_extra(
    image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "trained.safetensors"
    weights = {"w": np.zeros(3, np.float32)}
    save_file(weights, path, metadata={METADATA_KEY: tiny_card().model_dump_json()})
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError) as caught:
        bigkingxxl.load(path)
    check(caught.value, "[train]", file=path, key="train")
    assert install("train") in refused(image, path)


def test_two_images_of_one_stem(image: Path) -> None:
    Image.fromarray(blobs(3)).save(image.with_suffix(".bmp"))
    found = find_images([image.with_suffix(".*")])
    assert {file.name for file in found.files} == {"blobs.png", "blobs.bmp"}


# ---- one image beside another --------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> list[Path]:
    """Images of many, few and no cells, a truncated one, and a time-lapse."""
    place = tmp_path / "images"
    place.mkdir()
    for number, count in enumerate((12, 3, 0, 7, 1)):
        Image.fromarray(blobs(count, number)).save(place / f"a{number}.png")
    (place / "b.png").write_bytes((place / "a0.png").read_bytes()[:500])
    frames = np.stack([blobs(count) for count in (2, 9, 5)])
    tifffile.imwrite(place / "c.tif", frames, photometric="minisblack", metadata={"axes": "TYX"},
                     compression="zlib")  # fmt: skip
    Image.fromarray(np.full((40, 50), 9, np.uint8)).save(place / "d.png")
    return sorted(place.iterdir())


@pytest.fixture
def run(model: Path, tmp_path: Path) -> Callable[..., FolderResult]:
    predictor, card = load_predictor(model)

    def predict(paths: Sequence[Path], out: str, ahead: int) -> FolderResult:
        def open_images(path: Path) -> Sequence[ImageSource]:
            return images_of(path)

        selection = Selection(card.operating_points)
        settings = run_settings("key", selection, FORMATS, model="hash")
        pipeline = Pipeline(settings, selection, predictor)
        return predict_folder(pipeline, paths, open_images, tmp_path / out, ahead=ahead)

    return predict


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*") if path.is_file() and "records" not in path.parts
    }  # fmt: skip


def test_parallel_images_give_the_same_bytes(
    folder: list[Path], run: Callable[..., FolderResult], tmp_path: Path
) -> None:
    first = run(folder, "one", 1)
    assert list(first.cells.values()) == [12, 3, 0, 7, 1, 2, 9, 5, 0]
    assert list(first.failed) == ["b"]
    assert "b.png" in first.failed["b"]
    for ahead in (2, 4):
        again = run(folder, f"by {ahead}", ahead)
        assert list(again.cells.items()) == list(first.cells.items())
        assert again.failed == first.failed
        one, other = contents(tmp_path / "one"), contents(tmp_path / f"by {ahead}")
        assert one.keys() == other.keys()
        assert [name for name in one if one[name] != other[name]] == []


def test_an_interrupted_run_gives_the_same_bytes(
    folder: list[Path],
    run: Callable[..., FolderResult],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run(folder, "whole", 2)
    select, calls = Selection.instances, list[int]()

    def break_off(self: Selection, *arguments: object) -> object:
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return select(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Selection, "instances", break_off)
    with pytest.raises(KeyboardInterrupt):
        run(folder, "broken", 2)
    noted = list((tmp_path / "broken" / "records" / "summary").iterdir())
    assert 0 < len(noted) < 9
    monkeypatch.setattr(Selection, "instances", select)
    assert run(folder, "broken", 2).skipped == len(noted)
    whole, broken = contents(tmp_path / "whole"), contents(tmp_path / "broken")
    assert whole == broken

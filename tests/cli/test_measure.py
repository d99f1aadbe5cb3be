"""`bigkingxxl predict` with its limits on cells, and `bigkingxxl measure` on corrected cells."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from bigkingxxl.cli import main
from bigkingxxl.io.annotations.label_images import label_instances, read_label_image
from bigkingxxl.runs.outputs import FORMATS, IMAGE_FORMATS, OF_AN_EXTRA, RUN_FORMATS
from tests.refusals import numbers_of, refused_by
from tests.support import sentence_of
from tests.tiny_onnx import blobs, save_tiny_onnx

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_onnx(tmp_path_factory.mktemp("model") / "tiny.onnx")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for number, count in enumerate((12, 3, 7)):
        Image.fromarray(blobs(count, number)).save(folder / f"a{number}.png")
    return folder


def command(*arguments: object) -> Result:
    return CliRunner().invoke(main.app, [*map(str, arguments), "--quiet"])


def predict(images: Path, model: Path, *options: object) -> Result:
    out = images.parent / "out"
    return command("predict", images, "--model", model, "--out", out, *options)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


# ---- which cells ---------------------------------------------------------------------------------


def test_every_format_at_once(images: Path, model: Path, tmp_path: Path) -> None:
    assert predict(images, model, "--format", "all").exit_code == 0
    out = tmp_path / "out"
    for name, each in IMAGE_FORMATS.items():
        assert each.place(out, "a0").is_file() == (name not in OF_AN_EXTRA)
    assert all((out / file).is_file() for each in RUN_FORMATS.values() for file in each.files)
    assert len(FORMATS) == 12


def test_minimum_score_minimum_area_and_border(images: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert predict(images, model, "--format", "measurements").exit_code == 0
    rows = rows_of(out / "measurements.csv")
    areas, scores = ([float(row[name]) for row in rows] for name in ("area", "score"))
    for option, values in (("--min-area", areas), ("--min-score", scores)):
        least = sorted(values)[len(values) // 2]
        assert predict(images, model, option, least).exit_code == 0
        kept = [float(row[option[6:]]) for row in rows_of(out / "measurements.csv")]
        assert 0 < len(kept) < len(rows)
        assert len(kept) == sum(value >= least for value in values)
        assert min(kept) >= least
    assert predict(images, model, "--exclude-border").exit_code == 0
    inside = 0
    for path in sorted(images.iterdir()):
        labels = read_label_image(out / "labels" / f"{path.stem}.tif")
        edge = np.ones(labels.shape, bool)
        edge[1:-1, 1:-1] = False
        assert not labels[edge].any()
        inside += int(labels.max())
    assert inside == len(rows_of(out / "measurements.csv"))


@pytest.mark.parametrize(
    ("option", "value"),
    [("--min-score", "1.1"), ("--min-score", "nan"), ("--min-area", "-1"), ("--min-area", "inf")],
)
def test_invalid_limits_are_refused(images: Path, model: Path, option: str, value: str) -> None:
    refused_by(predict(images, model, option, value), value, key=option)
    assert not (images.parent / "out").exists()


# ---- corrected by hand ---------------------------------------------------------------------------


def test_a_corrected_label_image_is_measured(images: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert predict(images, model, "--format", "labels,measurements,imagej").exit_code == 0
    before = rows_of(out / "measurements.csv")
    place = out / "labels" / "a1.tif"
    labels = read_label_image(place)
    labels[labels == 2] = 0
    Image.fromarray(labels.astype(np.uint16)).save(place)
    kept = place.read_bytes()
    result = command("measure", out)
    assert result.exit_code == 0, result.output
    assert "hand" not in result.stderr
    expected = [row for row in before if (row["image"], row["id"]) != ("a1", "2")]
    assert rows_of(out / "measurements.csv") == expected
    told = predict(images, model, "--format", "labels")
    assert told.exit_code == 0
    assert "labels/a1.tif" in told.stderr
    assert place.read_bytes() == kept
    assert rows_of(out / "measurements.csv") == expected
    answer = json.loads(command("measure", out, "--json").stdout)
    assert answer["cells"]["a1"] == len(label_instances(place))
    assert predict(images, model, "--overwrite").exit_code == 0
    assert rows_of(out / "measurements.csv") == before


def test_a_folder_without_a_run(tmp_path: Path) -> None:
    assert str(tmp_path) in sentence_of(command("measure", tmp_path))
    assert str(tmp_path / "nowhere") in sentence_of(command("measure", tmp_path / "nowhere"))


# ---- names that are more than names --------------------------------------------------------------


def test_names_are_shown_and_not_obeyed(images: Path, model: Path, tmp_path: Path) -> None:
    (images / "a0.png").rename(images / "=1+2.png")
    (images / "bad\x1b[2J.png").write_bytes(b"no image")
    result = predict(images, model, "--format", "summary,measurements")
    assert result.exit_code == 1
    assert "\x1b" not in result.output
    assert "bad\\x1b[2J.png" in result.stderr
    names = {row["image"] for row in rows_of(tmp_path / "out" / "summary.csv")}
    assert names == {"'=1+2", "a1", "a2", "bad\x1b[2J"}


# ---- ends ----------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 75), (signal.SIGINT, 130)])
def test_a_run_stopped_by_a_signal_can_be_resumed(
    images: Path, model: Path, tmp_path: Path, number: int, code: int
) -> None:
    for number_of in range(40):
        Image.fromarray(blobs(5, number_of)).save(images / f"b{number_of:03d}.png")
    out = tmp_path / "out"
    arguments = ["predict", str(images), "--model", str(model), "--out", str(out), "--quiet"]
    process = subprocess.Popen(
        [sys.executable, "-m", "bigkingxxl", *arguments], cwd=ROOT, text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE,
    )  # fmt: skip
    records = out / "records" / "summary"
    while process.poll() is None and not (records.is_dir() and any(records.iterdir())):
        time.sleep(0.01)
    process.send_signal(number)
    _, told = process.communicate(timeout=60)
    assert process.returncode == code, told
    assert "run again to continue" in told
    done = len(list(records.iterdir()))
    assert 0 < done < 43
    result = predict(images, model)
    assert result.exit_code == 0
    assert numbers_of(result.stdout.splitlines()[-1])[-1] == done

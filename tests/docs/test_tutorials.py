"""The commands of the tutorials, one after the other, on small simulated images."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bigkingxxl.cli.main import app
from bigkingxxl.model_files import read_card
from tests.docs.pages import ROOT, commands

# Options that shorten minutes to seconds.
SMALL_TRAINING = (
    "training.epochs=1", "training.crops_per_epoch=4", "training.batch_size=2",
    "training.workers=0", "augment.size=64", "training.validation_images=1",
)  # fmt: skip
SMALL_IMAGES = ("--size", "128x160")
# These need an account, another machine, or packages that the tests do not have.
LEFT_OUT = (["pip"], ["bigkingxxl", "data", "download"])


def run_page(name: str, size: tuple[str, str] = SMALL_IMAGES) -> None:
    """Run the commands of a page in the current folder, with simulated images of a size."""
    for line in commands(ROOT / "docs" / name):
        words = list(line.words)
        if line.is_inline or any(words[: len(start)] == start for start in LEFT_OUT):
            continue
        if "local:2" in words:
            pytest.importorskip("distributed")
        assert words[0] == "bigkingxxl", line
        result = CliRunner().invoke(app, [*words[1:], *smaller(words, size)])
        assert result.exit_code == 0, f"{line}\n{result.output}"


def smaller(words: list[str], size: tuple[str, str]) -> list[str]:
    """Return options that make a command quick."""
    if words[1] == "train":
        return [word for value in SMALL_TRAINING for word in ("--set", value)]
    return [*size, "--workers", "1"] if words[1:3] == ["data", "synthesize"] else []


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.slow
def test_a_first_folder_of_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = ["data", "synthesize", "dataset", "--images", "2", "--seed", "5", *SMALL_IMAGES]
    assert CliRunner().invoke(app, made).exit_code == 0
    shutil.copytree(tmp_path / "dataset" / "train", tmp_path / "my_images")
    run_page("tutorials/first-folder.md")
    names = sorted(path.stem for path in (tmp_path / "my_images").iterdir())
    for folder, ending in (("labels", "tif"), ("overlays", "png"), ("imagej", "zip")):
        found = {path.name for path in (tmp_path / "cells" / folder).iterdir()}
        assert {f"{name}.{ending}" for name in names} <= found
    assert "area_um2" in rows(tmp_path / "cells" / "measurements.csv")[0]


@pytest.mark.slow
def test_many_images_on_many_machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run_page("tutorials/cluster.md")
    images = list((tmp_path / "simulated" / "train").iterdir())
    assert len(rows(tmp_path / "cells" / "summary.csv")) == len(images) == 8


@pytest.mark.slow
def test_the_challenge_from_data_to_submission(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = ["data", "synthesize", "other", "--images", "2", "--seed", "5", *SMALL_IMAGES]
    assert CliRunner().invoke(app, made).exit_code == 0
    (tmp_path / "dataset").mkdir()
    shutil.copytree(tmp_path / "other" / "train", tmp_path / "dataset" / "test")
    run_page("tutorials/challenge.md", ("--size", "192x256"))  # `calibrate` needs 500 candidates
    assert read_card(tmp_path / "compact.onnx").operating_points.tuned_on
    assert (tmp_path / "report.html").is_file()
    with (tmp_path / "submission" / "submission.csv").open(encoding="utf-8") as stream:
        assert next(stream) == "id,predicted\n"

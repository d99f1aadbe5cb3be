"""`bigkingxxl report`: one page on a run, with and without truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

import bigkingxxl as bk
from bigkingxxl.cli import main
from bigkingxxl.io.annotations.label_images import write_label_image
from bigkingxxl.simulate import simulate_field
from tests.evaluation.report.page_reader import Page
from tests.refusals import refused_by


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run over two images and one that cannot be read."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "images").mkdir()
    for seed in (1, 2):
        image = simulate_field("cort", size=(128, 160), seed=seed).image
        Image.fromarray(image).save(folder / "images" / f"f{seed}.png")
    (folder / "images" / "broken.png").write_bytes(b"no picture")
    command = ["predict", str(folder / "images"), "--model", "open", "--out", str(folder / "run")]
    assert CliRunner().invoke(main.app, [*command, "--quiet"]).exit_code == 1
    return folder


def report(*arguments: object) -> Result:
    return CliRunner().invoke(main.app, ["report", *map(str, arguments)])


def test_a_run_without_truth(run_folder: Path) -> None:
    result = report(run_folder / "run")
    assert result.exit_code == 0, result.stderr
    page = Page(run_folder / "run" / "report.html")
    assert page.needs_nothing_else
    run = bk.open_run(run_folder / "run")
    cells = [run[name].cells for name in ("f1", "f2")]
    total = sum(map(len, cells))
    assert f"{total:,} cells" in page.text
    areas = np.concatenate([each.areas() for each in cells])
    assert f"{np.median(areas):,.0f} pixels" in page.text
    doubtful = sum(int((np.asarray(each.score) < 0.5).sum()) for each in cells)
    assert f"{100 * doubtful / total:.0f} % of the cells" in page.text
    assert len(page.pictures) == 2
    assert "broken" in page.texts


def test_a_run_with_truth(run_folder: Path, tmp_path: Path) -> None:
    run = bk.open_run(run_folder / "run")
    for name in ("f1", "f2"):
        write_label_image(tmp_path / "truth" / f"{name}.tif", run[name].cells)
    page = tmp_path / "scored.html"
    result = report(run_folder / "run", "--truth", tmp_path / "truth", "--out", page)
    assert result.exit_code == 0, result.stderr
    assert "100 %" in Page(page).text


@pytest.mark.parametrize("arguments", [["nowhere"], ["RUN", "--truth", "nowhere"]])
def test_bad_input_is_one_sentence(run_folder: Path, arguments: list[str]) -> None:
    places = {"RUN": run_folder / "run"}
    refused_by(report(*(places.get(each, each) for each in arguments)), "nowhere")

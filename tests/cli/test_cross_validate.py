"""`bigkingxxl train --fold all` from the command line: a real training, and bad input."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from bigkingxxl.cli import main
from bigkingxxl.data.split import read_folds
from bigkingxxl.data.synthesize import Recipe as SyntheticData
from bigkingxxl.data.synthesize import synthesize
from tests.refusals import numbers_of, refused_by

RECIPE = """
method: unetr
settings: {image_size: 64, feature_size: 4, hidden_size: 16, mlp_dim: 32, heads: 2, pyramid: ""}
augment: {size: 64}
training: {epochs: 1, crops_per_epoch: 8, batch_size: 4, validation_images: 1, workers: 0}
prediction: {scale: 1.0, tile: 64, overlap: 16}
"""
Run = Callable[..., Result]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("data")
    synthesize(folder, SyntheticData(4, 0, ("cort",), (96, 96)), workers=1)
    return folder


@pytest.fixture
def train(data: Path, tmp_path: Path) -> Run:
    (tmp_path / "tiny.yaml").write_text(RECIPE)

    def run(*arguments: object, recipe: str = str(tmp_path / "tiny.yaml")) -> Result:
        command = ["train", recipe, "--data", str(data), "--device", "cpu", "--out",
                   str(tmp_path / "run"), *map(str, arguments)]  # fmt: skip
        return CliRunner().invoke(main.app, command)

    return run


def test_a_cross_validation_from_data_to_scores(train: Run, data: Path, tmp_path: Path) -> None:
    done = train("--fold", "all", "--folds", 2, "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    run = tmp_path / "run"
    assert [1, 2, 2] in [numbers_of(line)[:3] for line in done.stderr.splitlines()]
    assert [row["name"] for row in told["scores"]] == ["0", "1", "all", "chose no epoch"]
    fold_of = read_folds(run / "folds.csv")
    assert set(fold_of.values()) == {0, 1}
    found = CliRunner().invoke(
        main.app, ["evaluate", str(run / "out-of-fold"), str(data), "--json"]
    )
    assert found.exit_code == 0, found.output
    scored = json.loads(found.stdout)
    assert scored["scored"] == 4
    pooled = told["scores"][2]["scores"]["mAP"]["value"]
    assert scored["competition_map"] == pytest.approx(pooled)
    image = next((data / "train").glob("*.png"))
    predicted = CliRunner().invoke(
        main.app, ["predict", str(image), "--model", str(run / "folds.ensemble"), "--out",
                   str(tmp_path / "cells"), "--format", "labels", "--quiet"],
    )  # fmt: skip
    assert predicted.exit_code == 0, predicted.output
    again = train("--fold", "all", "--resume")
    assert again.exit_code == 0, again.output
    assert [2, 2] in [numbers_of(line)[:2] for line in again.stderr.splitlines()]
    assert "chose no epoch" in again.stdout


@pytest.mark.parametrize(
    ("arguments", "fields"),
    [
        (["--fold", "all", "--leave-out", "x"], {"key": "--fold", "found": "--leave-out"}),
        (["--fold", "all", "--folds", 9], {"key": "--folds", "found": 9, "expected": 4}),
        (["--fold", "all", "--folds", "-1"], {"key": "--folds", "found": -1}),
        (["--fold", "all", "--folds", "lost.csv"], {"file": "lost.csv"}),
        (["--fold", "all", "--devices", 2], {"key": "--fold"}),
        (["--fold", "all", "--stage", "settings"], {"key": "--fold", "found": "--stage"}),
        (["--fold", "every"], {"key": "--fold", "found": "every"}),
        (["--fold", "-2"], {"key": "--fold", "found": "-2"}),
        (["--fold", "1.5"], {"key": "--fold", "found": "1.5"}),
        (["--folds", 3], {"key": "--folds", "found": "3"}),
    ],
)
def test_requests_that_contradict_themselves(
    train: Run, tmp_path: Path, arguments: list[object], fields: dict[str, Any]
) -> None:
    refused_by(train(*arguments), **fields)
    assert not (tmp_path / "run").exists()


def test_a_fine_tuning_and_several_sets_have_no_folds(train: Run, data: Path) -> None:
    refused_by(train("--fold", "all", recipe="finetune"), key="--fold")
    other = data.parent / "another"
    synthesize(other, SyntheticData(2, 1, ("cort",), (96, 96)), workers=1)
    refused_by(train("--fold", "all", "--data", other), key="--fold", found=2, expected=1)

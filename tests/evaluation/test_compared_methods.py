"""What the arguments of `compare` stand for."""

from __future__ import annotations

import shutil
from pathlib import Path

from bigkingxxl.evaluation.compared_methods import find_methods
from bigkingxxl.runs.store import RECORDS
from bigkingxxl.shipped_models import SHIPPED


def test_the_folder_of_a_training_is_its_model(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    shutil.copy(SHIPPED["open"].path, folder / "model.onnx")
    found = find_methods([str(folder), f"both={folder}+open"])
    assert [each.name for each in found] == ["mine", "both"]
    assert found[0].models == (folder / "model.onnx",)
    assert found[1].models == (folder / "model.onnx", SHIPPED["open"].path)


def test_the_folder_of_a_run_is_results(tmp_path: Path) -> None:
    (tmp_path / RECORDS).mkdir()
    shutil.copy(SHIPPED["open"].path, tmp_path / "model.onnx")
    (found,) = find_methods([str(tmp_path)])
    assert (found.models, found.place) == ((), tmp_path)

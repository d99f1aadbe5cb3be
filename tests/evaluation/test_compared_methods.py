"""What the arguments of `compare` stand for."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bigkingxxl.evaluation.compared_methods import find_methods
from bigkingxxl.evaluation.predict_task import peak_memory
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


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="needs /proc")
def test_the_memory_of_a_model_is_not_that_of_the_program_that_starts_it() -> None:
    code = "from bigkingxxl.evaluation.predict_task import peak_memory; print(peak_memory())"
    much = np.ones(2**27)
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert 1e7 < int(found.stdout) < much.nbytes / 2
    assert (peak_memory() or 0) > much.nbytes

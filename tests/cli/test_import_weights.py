"""`bigkingxxl import-weights`: the table, its counts, JSON, and errors in one sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from bigkingxxl.cli.main import app
from bigkingxxl.model_files import load_model
from tests.refusals import refused_by
from tests.small_torchvision import saved, small_assignments, small_mask_rcnn


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file from torchvision, with three types."""
    state = small_mask_rcnn(3, frozen=False).state_dict()
    return saved(dict(state), tmp_path_factory.mktemp("weights") / "coco.pth")


def run(file: Path, out: Path, *arguments: str, source: str = "torchvision") -> Result:
    sets = [part for each in small_assignments() for part in ("--set", each)]
    given = ["import-weights", str(file), "--from", source, "--config", "torchvision_v1"]
    return CliRunner().invoke(app, [*given, "--out", str(out), *sets, *arguments])


def test_every_tensor_is_listed_and_counted(weights: Path, tmp_path: Path) -> None:
    out = tmp_path / "model.safetensors"
    result = run(weights, out, "--types", "shsy5y, cort", "--file-types", "cort,b,c")
    assert result.exit_code == 0, result.stderr
    *lines, last = result.stdout.splitlines()
    rows = [line.split("  ")[0].strip() for line in lines[1:]]
    found = {action: rows.count(action) for action in ("used", "renamed", "re-made", "left")}
    # 100 of the backbone, 16 of the pyramid, 6 of proposals; 16 of heads; the norms' counters.
    assert found == {"used": 122, "renamed": 10, "re-made": 6, "left": 20}
    counts = ", ".join(f"{count} {action}" for action, count in found.items())
    assert last == f"{out}: {counts}; 2 cell types"
    assert "mask_head.head.1.0.bias (roi_heads.mask_head.1.0.bias)" in result.stdout
    assert "rows of background, cort kept, of shsy5y afresh" in result.stdout
    assert load_model(out).card.type_names == ("shsy5y", "cort")


def test_programs_read_it_as_json(weights: Path, tmp_path: Path) -> None:
    out = tmp_path / "model.safetensors"
    answer = json.loads(run(weights, out, "--json").stdout)
    assert answer["model"] == str(out)
    assert answer["type_names"] == ["type_1", "type_2", "type_3"]
    assert answer["counts"] == {"used": 122, "renamed": 16, "re-made": 0, "left": 20}
    assert len(answer["tensors"]) == 158
    left = next(each for each in answer["tensors"] if each["action"] == "left")
    assert left == {
        "action": "left", "source": "backbone.body.bn1.num_batches_tracked", "name": None,
        "shape": [], "note": "a frozen norm counts no batches",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "source", "fields"),
    [
        ([], "detectron2", {"key": "source", "found": "detectron2"}),
        (["--set", "settings.rpn_depth=2"], "torchvision", {"file": "coco.pth"}),
        (["--set", "method=compact"], "torchvision", {"key": "method", "found": "compact"}),
        (["--file-types", "a"], "torchvision", {"key": "cell_types", "found": 1, "expected": 3}),
    ],
)
def test_mismatches_are_one_sentence(
    weights: Path, tmp_path: Path, arguments: list[str], source: str, fields: dict[str, Any]
) -> None:
    out = tmp_path / "model.safetensors"
    refused_by(run(weights, out, *arguments, source=source), **fields)
    assert not out.exists()


def test_files_of_other_names_are_refused(weights: Path, tmp_path: Path) -> None:
    refused_by(
        run(weights, tmp_path / "model.pth"), file="model.pth", key="--out", expected=".safetensors"
    )
    refused_by(run(tmp_path / "gone.pth", tmp_path / "m.safetensors"), file="gone.pth")

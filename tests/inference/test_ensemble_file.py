"""Several models as one file: read back as written, wherever a model is named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from bigkingxxl.errors import InputError, ModelError
from bigkingxxl.evaluation.contestants import find_contestants
from bigkingxxl.inference.ensemble_file import (
    expanded,
    members_of,
    read_ensemble,
    write_ensemble,
)
from bigkingxxl.models import resolve_model

OPEN = resolve_model("open")


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A model of the user's own."""
    (tmp_path / "deep").mkdir()
    return Path(shutil.copy(OPEN, tmp_path / "deep" / "own.onnx"))


def test_it_is_read_back_as_written(own: Path, tmp_path: Path) -> None:
    path = tmp_path / "both.ensemble"
    write_ensemble(path, ["open", own], [2, 1])
    assert [(file.resolve(), weight) for file, weight in read_ensemble(path)] == [
        (OPEN.resolve(), 2), (own.resolve(), 1),
    ]  # fmt: skip
    names = [member["model"] for member in json.loads(path.read_text())["members"]]
    assert names == ["open", "deep/own.onnx"]


def test_it_moves_with_its_models(own: Path, tmp_path: Path) -> None:
    write_ensemble(tmp_path / "both.ensemble", [own, "open"])
    shutil.copytree(tmp_path, tmp_path.with_name("moved"))
    (first, _), _ = read_ensemble(tmp_path.with_name("moved") / "both.ensemble")
    assert "moved" in str(first.resolve())


def test_beside_other_models_it_counts_as_one(own: Path, tmp_path: Path) -> None:
    path = tmp_path / "both.ensemble"
    write_ensemble(path, ["open", own], [3, 1])
    assert members_of([path])[1] == [3, 1]
    assert members_of([path, "open"], [2, 5])[1] == [1.5, 0.5, 5]
    nested = tmp_path / "nested.ensemble"
    write_ensemble(nested, [path, "open"], [2, 5])
    assert [weight for _, weight in read_ensemble(nested)] == [1.5, 0.5, 5]


def test_names_without_ensembles_stay_as_they_are(own: Path) -> None:
    assert expanded(["open", str(own)], None) == (["open", str(own)], None)
    assert expanded(["open"], [2.0]) == (["open"], [2.0])


def test_it_takes_part_in_comparisons(own: Path, tmp_path: Path) -> None:
    write_ensemble(tmp_path / "both.ensemble", ["open", own], [2, 1])
    (first,) = find_contestants([str(tmp_path / "both.ensemble")])
    assert (first.name, len(first.models), first.weights) == ("both", 2, (2, 1))
    (other,) = find_contestants([f"x={tmp_path / 'both.ensemble'}+open"])
    assert (other.name, len(other.models)) == ("x", 3)


def test_a_member_that_changed_is_refused(own: Path, tmp_path: Path) -> None:
    write_ensemble(tmp_path / "both.ensemble", ["open", own])
    own.write_bytes(own.read_bytes() + b" ")
    with pytest.raises(ModelError, match=r"own\.onnx is not the model"):
        read_ensemble(tmp_path / "both.ensemble")


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"format": "bigkingxxl-ensemble-1", "members": []}',
     '{"format": "bigkingxxl-ensemble-1", "members": [{"model": "open"}]}',
     '{"format": "bigkingxxl-ensemble-1", "members": [{"model": "x", "weight": 1, "hash": "h"}]}'],
)  # fmt: skip
def test_what_is_no_ensemble_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "a.ensemble").write_text(content)
    with pytest.raises(ModelError, match=r"a\.ensemble|no such model"):
        read_ensemble(tmp_path / "a.ensemble")


def test_bad_input_writes_nothing(tmp_path: Path) -> None:
    for names, weights, name in ((["open"], [1, 2], "a.ensemble"), (["open"], [-1], "a.ensemble"),
                                 (["open"], None, "a.json"), (["lost.onnx"], None, "a.ensemble"),
                                 ([], None, "a.ensemble")):  # fmt: skip
        with pytest.raises(InputError):
            write_ensemble(tmp_path / name, names, weights)
    assert not list(tmp_path.iterdir())
    with pytest.raises(ModelError, match="no such ensemble"):
        read_ensemble(tmp_path / "absent.ensemble")

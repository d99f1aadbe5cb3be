"""Several models as one file: read back as written, wherever a model can be named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from bigkingxxl.errors import InputError, ModelError
from bigkingxxl.evaluation.compared_methods import find_methods
from bigkingxxl.inference.ensemble_file import (
    members_of,
    read_ensemble,
    write_ensemble,
)
from bigkingxxl.model_files import resolve_model
from bigkingxxl.operating_points import OperatingPoints
from tests.refusals import refused

OPEN = resolve_model("open")


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A model of the user's own."""
    (tmp_path / "deep").mkdir()
    return Path(shutil.copy(OPEN, tmp_path / "deep" / "own.onnx"))


def test_it_is_read_back_as_written(own: Path, tmp_path: Path) -> None:
    path = tmp_path / "both.ensemble"
    write_ensemble(path, ["open", own], [2, 1])
    found = read_ensemble(path)
    assert [file.resolve() for file in found.files] == [OPEN.resolve(), own.resolve()]
    assert (found.weights, found.points, found.tta) == ((2, 1), None, None)
    names = [member["model"] for member in json.loads(path.read_text())["members"]]
    assert names == ["open", "deep/own.onnx"]


def test_it_moves_with_its_models(own: Path, tmp_path: Path) -> None:
    write_ensemble(tmp_path / "both.ensemble", [own, "open"])
    shutil.copytree(tmp_path, tmp_path.with_name("moved"))
    first = read_ensemble(tmp_path.with_name("moved") / "both.ensemble").files[0]
    assert "moved" in str(first.resolve())


def test_an_ensemble_counts_as_one_model_among_others(own: Path, tmp_path: Path) -> None:
    path = tmp_path / "both.ensemble"
    write_ensemble(path, ["open", own], [3, 1])
    assert members_of([path]).weights == (3, 1)
    assert members_of([path, "open"], [2, 5]).weights == (1.5, 0.5, 5)
    nested = tmp_path / "nested.ensemble"
    write_ensemble(nested, [path, "open"], [2, 5])
    assert read_ensemble(nested).weights == (1.5, 0.5, 5)


def test_names_without_ensembles_are_their_files(own: Path) -> None:
    found = members_of(["open", str(own)], [2, 1])
    assert (found.files, found.weights) == ((OPEN, own), (2, 1))
    assert members_of(["open"]).weights == (1,)


def test_settings_for_all_members_are_stored(own: Path, tmp_path: Path) -> None:
    points = OperatingPoints(tuned_on=("a", "b"))
    path, nested = tmp_path / "both.ensemble", tmp_path / "nested.ensemble"
    write_ensemble(path, ["open", own], points=points, tta=("flips", "scales"))
    found = read_ensemble(path)
    assert (found.points, found.tta) == (points, ("flips", "scales"))
    assert members_of([path]) == found
    beside = members_of([path, "open"])
    assert (beside.points, beside.tta) == (points, None)
    assert members_of(["open", path]).points is None
    write_ensemble(nested, [path])
    assert read_ensemble(nested) == found


def test_an_ensemble_can_be_compared(own: Path, tmp_path: Path) -> None:
    write_ensemble(tmp_path / "both.ensemble", ["open", own], [2, 1])
    (first,) = find_methods([str(tmp_path / "both.ensemble")])
    assert first.members is not None
    assert (first.name, len(first.models), first.members.weights) == ("both", 2, (2, 1))
    (other,) = find_methods([f"x={tmp_path / 'both.ensemble'}+open"])
    assert (other.name, len(other.models)) == ("x", 3)


def test_a_member_that_changed_is_refused(own: Path, tmp_path: Path) -> None:
    write_ensemble(tmp_path / "both.ensemble", ["open", own])
    own.write_bytes(own.read_bytes() + b" ")
    with refused(ModelError, file="both.ensemble", key=own):
        read_ensemble(tmp_path / "both.ensemble")


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"format": "bigkingxxl-ensemble-1", "members": []}',
     '{"format": "bigkingxxl-ensemble-1", "members": [{"model": "open"}]}',
     '{"format": "bigkingxxl-ensemble-1", "members": [{"model": "x", "weight": 1, "hash": "h"}]}'],
)  # fmt: skip
def test_another_file_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "a.ensemble").write_text(content)
    with refused(ModelError):
        read_ensemble(tmp_path / "a.ensemble")


def test_bad_input_writes_nothing(tmp_path: Path) -> None:
    for names, weights, name in ((["open"], [1, 2], "a.ensemble"), (["open"], [-1], "a.ensemble"),
                                 (["open"], None, "a.json"), (["lost.onnx"], None, "a.ensemble"),
                                 ([], None, "a.ensemble")):  # fmt: skip
        with pytest.raises(InputError):
            write_ensemble(tmp_path / name, names, weights)
    assert not list(tmp_path.iterdir())
    with refused(ModelError, file="absent.ensemble"):
        read_ensemble(tmp_path / "absent.ensemble")

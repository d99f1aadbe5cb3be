"""Which images are drawn together, and the warning if ungrouped images look related."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from bigkingxxl.data.groups import Groups
from bigkingxxl.errors import FormatError
from bigkingxxl.evaluation.grouping import EACH_ALONE, frames_note, groups_of
from bigkingxxl.evaluation.truth import Truth
from tests.refusals import refused


@dataclass
class Named:
    ids: tuple[str, ...]
    path: Path = Path("truth")
    columns: dict[str, Any] = field(default_factory=dict)


def grouped(*ids: str) -> Groups:
    return groups_of(cast("Truth", Named(ids)))


def test_frames_as_predict_names_them_are_of_one_video() -> None:
    found = grouped("a_t000", "a_t001", "b_t000_z1", "b_t001_z1")
    assert found.grouped_by == "videos"
    assert found.of["a_t000"] == found.of["a_t001"] != found.of["b_t000_z1"]
    assert found.of["b_t000_z1"] == found.of["b_t001_z1"]


@pytest.mark.parametrize(
    "ids", [("a_t000", "b"), ("a_t000", "b_t000"), ("a1", "a2"), ("plate_test001", "plate_test002")]
)
def test_other_names_are_separate_groups(ids: tuple[str, ...]) -> None:
    assert grouped(*ids).grouped_by == EACH_ALONE


@pytest.mark.parametrize(
    ("ids", "is_told"),
    [
        (("frame_001", "frame_002"), True),
        (("a-t1", "a-t2", "other"), True),
        (("time 1", "time 2"), True),
        (("frame_001", "other"), False),
        (("cell1", "cell2"), False),
        (("test1", "test2"), False),
        (("a_t0", "b_t0"), False),
    ],
)
def test_names_like_frames_are_reported(ids: tuple[str, ...], is_told: bool) -> None:
    note = frames_note(ids, Groups({}, EACH_ALONE))
    assert (note is not None) == is_told
    if note is not None:
        assert "--groups" in note
    assert frames_note(ids, Groups(dict.fromkeys(ids, "x"), "own.csv")) is None


def test_an_image_in_two_groups_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "groups.csv"
    file.write_text("id,group\na,x\na,x\nb,x\n")
    truth = cast("Truth", Named(("a", "b")))
    assert groups_of(truth, file).of == {"a": "x", "b": "x"}
    file.write_text("id,group\na,x\na,y\n")
    with refused(FormatError, file=file, key="a", found=("x", "y")):
        groups_of(truth, file)

"""Folds: every image once, groups kept together, types balanced, and the files of folds."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigkingxxl.data.dataset import Dataset, open_dataset
from bigkingxxl.data.groups import connected, find_groups
from bigkingxxl.data.split import (
    assign_folds,
    fold_ids,
    fold_table,
    read_folds,
    write_folds,
)
from bigkingxxl.errors import BigKingXXLError, FormatError, InputError, OutputError
from bigkingxxl.instances import Instances
from tests.data.small_data import dataset_of, rectangles
from tests.refusals import refused


def cells_of(kind: int, count: int) -> Instances:
    """Some cells of one type."""
    boxes = [(row, 0, row + 1, 2) for row in range(count)]
    return rectangles(*boxes, types=(kind,) * count)


def with_fields(images: list[tuple[int, int, int]]) -> Dataset:
    """Images of (type, cells, field), named by their position."""
    cells = {f"i{place}": cells_of(kind, count) for place, (kind, count, _) in enumerate(images)}
    field = {f"i{place}": str(own) for place, (_, _, own) in enumerate(images)}
    return dataset_of(Path("nowhere"), cells, {"field": field})


IMAGES = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 30), st.integers(0, 12)), min_size=2, max_size=60
)


@given(IMAGES, st.integers(2, 6), st.integers(0, 3))
def test_every_image_has_one_fold_and_no_group_is_split(
    images: list[tuple[int, int, int]], folds: int, seed: int
) -> None:
    dataset = with_fields(images)
    fields = {own for _, _, own in images}
    if len(fields) < folds:
        with refused(InputError, key="--folds", found=folds, expected=len(fields)):
            assign_folds(dataset, folds=folds, seed=seed)
        return
    found = assign_folds(dataset, folds=folds, seed=seed)
    assert tuple(found.fold) == dataset.ids
    assert set(found.fold.values()) == set(range(folds)), "no fold is empty"
    assert found.groups == len(fields)
    together = {(dataset.columns["field"][name], fold) for name, fold in found.fold.items()}
    assert len(together) == len(fields), "a group lies in one fold alone"
    assert assign_folds(dataset, folds=folds, seed=seed) == found


def test_types_and_cells_are_balanced() -> None:
    # 40 and 20 single images: 8 and 4 per fold; 1 to 30 cells.
    sizes = [1 + (7 * place) % 30 for place in range(60)]
    dataset = with_fields([(int(p >= 40), n, p) for p, n in enumerate(sizes)])
    table = fold_table(dataset, assign_folds(dataset).fold)
    assert [images for images, _ in table["astro"]] == [8] * 5
    assert [images for images, _ in table["cort"]] == [4] * 5
    for counts in table.values():
        cells = [number for _, number in counts]
        assert max(cells) - min(cells) <= 0.05 * sum(cells) / 5


def test_few_images_are_spread_over_all_folds() -> None:
    dataset = with_fields([(0, 5, 0), (1, 3, 1), (1, 9, 2), (0, 2, 3), (1, 1, 4), (1, 1, 5)])
    assert sorted(Counter(assign_folds(dataset).fold.values()).values()) == [1, 1, 1, 1, 2]


def test_another_seed_is_another_split_and_still_balanced() -> None:
    dataset = with_fields([(place % 2, 5, place) for place in range(40)])
    first, second = (assign_folds(dataset, seed=seed).fold for seed in (0, 1))
    assert first != second
    assert fold_table(dataset, first) == fold_table(dataset, second)


def test_one_fold_is_no_split() -> None:
    with refused(InputError, key="--folds", found=1, expected=2):
        assign_folds(with_fields([(0, 1, 0), (0, 1, 1)]), folds=1)


SAMPLE = "shsy5y[diff]_E10-4_Vessel-714_Ph_3"


@pytest.mark.parametrize(
    ("columns", "expected", "grouped_by"),
    [
        # One well of one vessel, whatever the position in it and the crop.
        ({"sample_id": [SAMPLE, "shsy5y[diff]_E10-2_Vessel-714_Ph_1"]}, True, "sample columns"),
        ({"sample_id": [SAMPLE, "shsy5y[diff]_E11-4_Vessel-714_Ph_3"]}, False, "sample columns"),
        ({"sample_id": [SAMPLE, "shsy5y[diff]_E10-4_Vessel-715_Ph_3"]}, False, "sample columns"),
        ({"well": ["A1", "A1"]}, True, "sample columns"),
        ({"well": ["A1", "A2"]}, False, "sample columns"),
        ({"well": ["A1", "A1"], "sample_date": ["2020-01-01", "2020-01-02"]}, False,
         "sample columns"),
        ({"well": ["", ""], "field": ["x", "x"]}, True, "fields.csv"),
        ({"well": ["A1", "A2"], "field": ["x", "x"]}, False, "sample columns"),
        ({"field": ["x", "x"]}, True, "fields.csv"),
        ({"field": ["x", "y"]}, False, "fields.csv"),
        ({"field": ["", "image one"]}, False, "fields.csv"),
    ],
)  # fmt: skip
def test_groups_come_from_metadata(
    columns: dict[str, list[str]], expected: bool, grouped_by: str
) -> None:
    cells = {"one": cells_of(0, 1), "two": cells_of(0, 1)}
    named = {key: dict(zip(cells, values, strict=True)) for key, values in columns.items()}
    groups = find_groups(dataset_of(Path("nowhere"), cells, named))
    assert (groups.of["one"] == groups.of["two"]) is expected
    assert groups.grouped_by == grouped_by
    assert groups.count == 2 - expected


def test_wells_are_read_from_livecell_names() -> None:
    names = [
        "SHSY5Y_Phase_B10_1_00d00h00m_1", "SHSY5Y_Phase_B10_2_03d12h00m_4",
        "SHSY5Y_Phase_C10_1_00d00h00m_1", "A172_Phase_B10_1_00d00h00m_1",
    ]  # fmt: skip
    groups = find_groups(dataset_of(Path("nowhere"), dict.fromkeys(names, cells_of(0, 1))))
    assert groups.grouped_by == "file names"
    assert sorted(map(len, groups.members.values())) == [1, 1, 2]
    assert groups.of[names[0]] == groups.of[names[1]]


@given(st.lists(st.tuples(st.integers(0, 15), st.integers(0, 15)), max_size=20))
def test_connected_images_are_the_closure_of_the_pairs(pairs: list[tuple[int, int]]) -> None:
    names = [f"{number:02}" for number in range(16)]
    found = connected(names, [(names[a], names[b]) for a, b in pairs])
    reach = {name: {name} for name in names}
    for _ in names:
        for a, b in pairs:
            union = reach[names[a]] | reach[names[b]]
            for member in union:
                reach[member] = union
    assert found == {name: min(reach[name]) for name in names}


def test_a_split_is_written_read_and_used(tmp_path: Path) -> None:
    cells = {name: cells_of(0, 1) for name in "abcdef"}
    dataset = dataset_of(tmp_path, cells, {"field": {name: name for name in cells}})
    chosen = {"a": 1, "b": 0, "c": 2, "d": 0, "e": 1, "f": 2}
    write_folds(tmp_path / "folds.csv", chosen)
    assert (tmp_path / "folds.csv").read_text().splitlines()[:2] == ["id,fold", "a,1"]
    assert read_folds(tmp_path / "folds.csv") == chosen
    assert fold_ids(dataset, 0) == (("a", "c", "e", "f"), ("b", "d"))
    elsewhere = tmp_path / "other.csv"
    write_folds(elsewhere, {**chosen, "a": 0})
    assert fold_ids(dataset, 0, folds_file=elsewhere)[1] == ("a", "b", "d")


def test_without_a_file_the_default_split_is_used(tmp_path: Path) -> None:
    cells = {f"i{place}": cells_of(place % 2, 3) for place in range(20)}
    dataset = dataset_of(tmp_path, cells, {"field": {name: name for name in cells}})
    training, validation = fold_ids(dataset, 3)
    assert validation == assign_folds(dataset).validation(3)
    assert training == assign_folds(dataset).training(3)
    assert sorted((*training, *validation)) == sorted(cells)


def test_fewer_images_than_folds_can_still_be_validated(tmp_path: Path) -> None:
    cells = {name: cells_of(0, 2) for name in "abc"}
    dataset = dataset_of(tmp_path, cells, {"field": {name: name for name in cells}})
    training, validation = fold_ids(dataset, 2)
    assert (len(training), len(validation)) == (2, 1)


@pytest.mark.parametrize(
    ("text", "error", "fields"),
    [
        ("id,part\na,0\n", FormatError, {"key": "fold"}),
        ("id,fold\na,0\na,1\n", FormatError, {"line": 3, "key": "a"}),
        ("id,fold\na,first\n", FormatError, {"line": 2, "found": "first"}),
        ("id,fold\na,-1\n", FormatError, {"line": 2, "found": "-1"}),
        ("id,fold\na,0\n", FormatError, {"key": "b", "found": 1}),
        ("id,fold\na,0\nb,0\n", InputError, {"key": "--fold", "found": 0, "expected": (0,)}),
        ("id,fold\na,1\nb,2\n", InputError, {"key": "--fold", "found": 0, "expected": (1, 2)}),
    ],
)
def test_a_bad_split_is_refused(
    tmp_path: Path, text: str, error: type[BigKingXXLError], fields: dict[str, Any]
) -> None:
    (tmp_path / "folds.csv").write_text(text)
    dataset = dataset_of(tmp_path, {"a": cells_of(0, 1), "b": cells_of(0, 1)})
    with refused(error, **fields):
        fold_ids(dataset, 0)


def test_a_split_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        write_folds(tmp_path / "file" / "folds.csv", {"a": 0})


def test_real_data_are_split_by_their_fields(sartorius: Path) -> None:
    dataset = open_dataset(sartorius)
    found = assign_folds(dataset)
    assert (found.groups, found.grouped_by) == (334, "fields.csv")
    fields = dataset.columns["field"]
    assert len({(fields[name], fold) for name, fold in found.fold.items()}) == 334
    for counts in fold_table(dataset, found.fold).values():
        images, cells = zip(*counts, strict=True)
        assert max(images) - min(images) <= 1
        assert max(cells) - min(cells) <= 0.01 * sum(cells) / 5

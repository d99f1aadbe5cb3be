"""Several data sets as one: names, types, folds, and what is left out."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile

from bigkingxxl.data.joined import JoinedDataset, open_datasets, without_set
from bigkingxxl.data.repeated import repeated_images
from bigkingxxl.data.synthesize import Recipe, synthesize
from bigkingxxl.errors import InputError
from bigkingxxl.instances import NO_TYPE
from bigkingxxl.training.model_card import own_ids
from tests.refusals import refused


def write_pairs(folder: Path, count: int = 2) -> Path:
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    labels = np.zeros((40, 50), np.uint16)
    labels[5:15, 5:15], labels[20:30, 30:45] = 1, 2
    for number in range(count):
        tifffile.imwrite(folder / "images" / f"x{number}.tif", labels.astype(np.uint8) * 50)
        tifffile.imwrite(folder / "labels" / f"x{number}.tif", labels)
    return folder


@pytest.fixture
def typed(tmp_path: Path) -> Path:
    folder = tmp_path / "typed"
    synthesize(folder, Recipe(10, 0, ("astro", "cort"), (96, 96)), workers=1)
    return folder


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    for name in ("one", "two"):
        write_pairs(tmp_path / "pool" / name)
    return tmp_path / "pool"


def joined(*places: Path, left_out: tuple[str, ...] = ()) -> JoinedDataset:
    data = open_datasets(places, left_out)
    assert isinstance(data, JoinedDataset)
    return data


def test_one_place_is_that_data_set(typed: Path) -> None:
    data = open_datasets([typed])
    assert data.layout == "kaggle"
    assert data.type_names == ("astro", "cort")


def test_a_folder_of_data_sets_joins_them(typed: Path, pool: Path) -> None:
    data = joined(typed, pool)
    assert set(data.parts) == {"typed", "one", "two"}
    assert len(data) == 14
    assert data.set_of("two/x1") == "two"
    assert without_set("two/x1") == "x1"
    source, cells = data.source("one/x0"), data.instances("one/x0")
    assert source.shape == cells.size == (40, 50)
    assert cells.areas().tolist() == [100, 150]


def test_cells_keep_their_types_and_those_without_have_none(typed: Path, pool: Path) -> None:
    data = joined(pool, typed)
    assert data.type_names == ("astro", "cort", NO_TYPE)
    assert data.cell_type("one/x0") == NO_TYPE
    own = open_datasets([typed])
    for image_id in own.ids:
        assert data.cell_type(f"typed/{image_id}") == own.cell_type(image_id)
        assert len(data.instances(f"typed/{image_id}")) == len(own.instances(image_id))


def test_only_data_sets_with_groups_are_split(typed: Path, pool: Path) -> None:
    data = joined(typed, pool)
    training, watched = data.fold_ids(0)
    assert {data.set_of(each) for each in watched} == {"typed"}
    assert len(training) + len(watched) == len(data)
    assert {"one/x0", "one/x1", "two/x0", "two/x1"} <= set(training)
    assert data.fold_ids(-1) == (data.ids, ())


def test_excluded_data_sets_are_only_monitored(typed: Path, pool: Path) -> None:
    training, watched = joined(typed, pool, left_out=("two",)).fold_ids(-1)
    assert watched == ("two/x0", "two/x1")
    assert not set(training) & set(watched)


@pytest.mark.parametrize("left_out", [("three",), ("one", "two", "typed")])
def test_an_impossible_exclusion_is_refused(
    typed: Path, pool: Path, left_out: tuple[str, ...]
) -> None:
    with pytest.raises(InputError):
        open_datasets([typed, pool], left_out)


def test_two_sets_of_one_name_are_refused(pool: Path, tmp_path: Path) -> None:
    other = write_pairs(tmp_path / "elsewhere" / "one")
    with refused(InputError, key="one"):
        open_datasets([pool, other])


def test_a_folder_of_something_else_is_no_data_set(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    write_pairs(tmp_path / "single")
    with pytest.raises(InputError):
        open_datasets([tmp_path])


def test_images_with_one_id_in_two_data_sets_are_distinguished(typed: Path, pool: Path) -> None:
    """An image that a model learned from in one set is not an image of another."""
    data = joined(typed, pool, left_out=("two",))
    names = own_ids(data, data.fold_ids(-1)[0])
    own, one, two = (data.parts[name] for name in ("typed", "one", "two"))
    assert own.among(names) == set(own.ids)
    assert one.among(names) == {"x0", "x1"}
    assert not two.among(names)


def write_types(folder: Path, name: str) -> Path:
    """Give all images of a data set a cell type."""
    ids = sorted(path.stem for path in (folder / "images").iterdir())
    rows = "".join(f"{image_id},{name}\n" for image_id in ids)
    (folder / "cell_types.csv").write_text(f"id,cell_type\n{rows}")
    return folder


def test_types_that_differ_only_in_their_spelling_are_one(tmp_path: Path) -> None:
    places = [
        write_types(write_pairs(tmp_path / name), kind)
        for name, kind in (("a", "SH-SY5Y"), ("b", "shsy5y"), ("c", "CD4+"), ("d", "CD4-"))
    ]
    data = joined(*places)
    assert data.type_names == ("SH-SY5Y", "CD4+", "CD4-")
    assert [data.cell_type(f"{name}/x0") for name in "abcd"] == [
        "SH-SY5Y", "SH-SY5Y", "CD4+", "CD4-",
    ]  # fmt: skip
    assert any("shsy5y" in note for note in data.notes)


def test_types_of_one_data_set_have_one_spelling(tmp_path: Path) -> None:
    folder = write_pairs(tmp_path / "a")
    (folder / "cell_types.csv").write_text("id,cell_type\nx0,Neuron\nx1,neuron\n")
    data = open_datasets([folder])
    assert data.type_names == ("Neuron",)
    assert data.instances("x1").type_names == ("Neuron",)
    assert any("neuron" in note for note in data.notes)


def test_a_data_set_named_twice_is_refused(pool: Path) -> None:
    with refused(InputError, key="one", file=pool / "one"):
        open_datasets([pool, pool / "one"])


def test_copies_of_an_image_are_found(pool: Path, tmp_path: Path) -> None:
    shutil.copytree(pool / "one", tmp_path / "three")
    tifffile.imwrite(tmp_path / "three" / "images" / "x1.tif", np.ones((40, 50), np.uint8))
    data = open_datasets([tmp_path / "three", pool / "one"])
    # `write_pairs` writes one image twice.
    assert repeated_images(data, data.ids) == [("three/x0", "one/x0", "one/x1")]

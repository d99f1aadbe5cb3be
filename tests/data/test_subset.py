"""The images of some cell types of a data set."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from bigkingxxl.data.dataset import Dataset, open_dataset
from bigkingxxl.data.subset import ids_of_types, subset
from bigkingxxl.errors import InputError
from tests.data.small_data import dataset_of, kaggle_folder, rectangles
from tests.refusals import refused

FIRST, SECOND, THIRD = (2, 2, 9, 9), (12, 12, 30, 30), (30, 2, 38, 12)
CELLS = {
    "astro": rectangles(FIRST, SECOND),
    "mostly": rectangles(FIRST, SECOND, THIRD, types=(1, 0, 1)),
    "empty": rectangles(),
    "cort": rectangles(THIRD, types=(1,)),
}


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    return open_dataset(kaggle_folder(tmp_path / "data", CELLS))


def test_images_and_cells_of_one_type(data: Dataset) -> None:
    own = subset(data, ["cort"])
    assert (own.ids, own.type_names) == (("mostly", "cort"), ("cort",))
    assert [own.cell_type(name) for name in own] == ["cort", "cort"]
    cells = own.instances("mostly")
    assert cells.type_names == ("cort",)
    assert cells.cell_type.tolist() == [0, 0]
    np.testing.assert_array_equal(cells.runs, CELLS["mostly"].take([0, 2]).runs)
    assert own.source("cort").shape == (40, 50)
    with refused(InputError, found="astro"):
        own.instances("astro")
    assert data.ids == tuple(CELLS)


def test_all_types_in_another_order_leave_only_the_empty_image_out(data: Dataset) -> None:
    own = subset(data, ["cort", "astro"])
    assert own.ids == ("astro", "mostly", "cort")
    assert own.instances("mostly").cell_type.tolist() == [0, 1, 0]
    assert own.cell_type("astro") == "astro"


def test_worker_processes_may_have_it(data: Dataset) -> None:
    own = pickle.loads(pickle.dumps(subset(data, ["cort"])))  # noqa: S301 (its own bytes)
    assert len(own.instances("cort")) == 1


def test_types_that_are_not_there(data: Dataset, tmp_path: Path) -> None:
    with refused(InputError, "'cort'", key="cell_types", found="corrt", expected="cort"):
        ids_of_types(data, ["astro", "corrt"])
    lonely = dataset_of(tmp_path, {"only": rectangles(FIRST)})
    with refused(InputError, file=tmp_path, key="cell_types", found=("cort",)):
        subset(lonely, ["cort"])

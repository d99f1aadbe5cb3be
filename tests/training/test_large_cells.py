"""Cells that do not fit into a crop are named."""

from __future__ import annotations

import pytest

from bigkingxxl.data.dataset import Dataset
from bigkingxxl.methods.registry import make_method
from bigkingxxl.training.crops import CropDataset
from bigkingxxl.training.large_cells import warn_of_large_cells
from bigkingxxl.training.recipe import Recipe


@pytest.mark.parametrize(
    ("augment", "fits"),
    [({"zoom": (1.0, 2.0)}, True), ({"zoom": (16.0, 20.0)}, False),
     ({"zoom": (1.0, 2.0), "diameter": 12.0}, True),
     ({"zoom": (1.0, 2.0), "diameter": 200.0}, False)],
)  # fmt: skip
def test_cells_larger_than_a_crop_are_named(
    recipe: Recipe, data: Dataset, caplog: pytest.LogCaptureFixture, augment: dict[str, object],
    fits: bool,
) -> None:  # fmt: skip
    recipe = recipe.changed(augment=recipe.augment.changed(**augment).model_dump())
    method = make_method(recipe.method, recipe.settings, data.type_names)
    warn_of_large_cells(CropDataset(data, data.ids, method, recipe))
    assert (caplog.text == "") == fits

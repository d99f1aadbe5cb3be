"""A small simulated data set and a recipe that trains on it in seconds."""

from __future__ import annotations

from pathlib import Path

import pytest

from bigkingxxl.data.dataset import Dataset, open_dataset
from bigkingxxl.data.synthesize import Recipe as SyntheticData
from bigkingxxl.data.synthesize import synthesize
from bigkingxxl.training.recipe import Recipe


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Ten simulated images of 96 x 96 pixels and one cell type."""
    folder: Path = tmp_path_factory.mktemp("synthetic")
    synthesize(folder, SyntheticData(10, 0, ("cort",), (96, 96)), workers=1)
    return open_dataset(folder)


@pytest.fixture
def recipe() -> Recipe:
    """A recipe of a tiny plain UNETR for two short epochs."""
    return Recipe.model_validate({
        "method": "unetr",
        "settings": {"image_size": 64, "feature_size": 4, "hidden_size": 16, "mlp_dim": 32,
                     "heads": 2, "pyramid": ""},
        "augment": {"size": 64},
        "training": {"epochs": 2, "crops_per_epoch": 16, "batch_size": 4, "warmup_steps": 2,
                     "validation_images": 2, "workers": 0},
        "prediction": {"scale": 1.0, "tile": 64, "overlap": 16},
    })  # fmt: skip

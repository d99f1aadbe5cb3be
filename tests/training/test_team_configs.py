"""The configs of the team's original pipelines: complete, and trainable when shrunk."""

from __future__ import annotations

from pathlib import Path

import pytest

from bigkingxxl.data.dataset import Dataset
from bigkingxxl.methods.rcnn import Rcnn
from bigkingxxl.methods.registry import make_method
from bigkingxxl.model_files import read_card
from bigkingxxl.training.recipe import load_recipe
from bigkingxxl.training.run import train

ROOT = Path(__file__).parents[2]
CONFIGS = sorted([*(ROOT / "mmdnet_config").glob("*.py"), *(ROOT / "detectron").glob("*.py")])
SHRUNK = (
    "settings.pretrained=none", "settings.norm=group", "settings.channels=16",
    "settings.box_width=32", "settings.mask_width=16", "settings.mask_depth=1",
    "settings.regions=16", "settings.proposals=[40,40]", "settings.detections=20",
    "augment.size=64", "augment.zoom=[1.0,1.5]", "training.epochs=1", "training.crops_per_epoch=4",
    "training.batch_size=2", "training.validation_images=1", "training.workers=0",
    "training.averaging=0", "prediction.scale=1", "prediction.tile=96", "prediction.tta=none",
)  # fmt: skip


def test_all_of_them_are_there() -> None:
    names = {path.stem for path in CONFIGS}
    assert {"sartorius", "sartorius_big2", "sartorius_big101", "sartorius_big152",
            "sartorius_swin"} <= names  # fmt: skip
    assert {f"mask_rcnn_{kind}" for kind in ("r50", "r101", "astro", "cort", "shsy5y")} <= names


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_every_config_is_a_detector_with_a_docstring_that_runs_it(config: Path) -> None:
    recipe = load_recipe(str(config))
    method = make_method(recipe.method, recipe.settings, ("astro", "cort", "shsy5y"))
    assert isinstance(method, Rcnn)
    assert f"bigkingxxl train {config.parent.name}/{config.name}" in config.read_text("utf-8")
    tile = recipe.prediction.tile / recipe.prediction.scale
    assert 208 <= tile <= 300, "tiles of the image are enlarged"


@pytest.mark.parametrize(
    ("name", "backbone"),
    [("sartorius", "resnet18"), ("sartorius_swin", "swin_tiny_patch4_window7_224")],
)
def test_a_shrunk_config_trains(name: str, backbone: str, data: Dataset, tmp_path: Path) -> None:
    config = ROOT / "mmdnet_config" / f"{name}.py"
    recipe = load_recipe(str(config), (*SHRUNK, f"settings.backbone={backbone}"))
    result = train(recipe, data, tmp_path / "run", device="cpu", quiet=True)
    card = read_card(result.model)
    assert card.method == recipe.method
    assert card.settings["backbone"] == backbone
    assert result.epochs == 1

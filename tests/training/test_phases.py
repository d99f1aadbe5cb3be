"""What follows a training: averaging with its start, export, and a model of several data sets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import load_file

from bigkingxxl.candidates import Candidates
from bigkingxxl.data.dataset import Dataset
from bigkingxxl.data.joined import JoinedDataset, open_datasets
from bigkingxxl.images import ImageSource
from bigkingxxl.inference.dense_predictor import DensePredictor
from bigkingxxl.inference.load_model import load_predictor
from bigkingxxl.instances import NO_TYPE, Instances
from bigkingxxl.methods.base import DenseMethod
from bigkingxxl.methods.registry import make_method
from bigkingxxl.model_files import Model, read_card, save_model
from bigkingxxl.training import phases
from bigkingxxl.training.images import choose_images
from bigkingxxl.training.recipe import FinishSettings, Recipe
from bigkingxxl.training.run import train
from bigkingxxl.training.starting_model import Start
from tests.data.test_joined import write_pairs
from tests.small_models import small_card, small_weights
from tests.threshold import Threshold, save_images, squares


def trained(recipe: Recipe, data: Dataset, out: Path, **options: Any) -> Path:
    return train(recipe, data, out, device="cpu", quiet=True, **options).model


def test_the_average_with_the_start_lies_between_both(
    recipe: Recipe, data: Dataset, tmp_path: Path
) -> None:
    start = trained(recipe, data, tmp_path / "start")
    onward = recipe.changed(init=str(start), seed=1)
    own = load_file(trained(onward, data, tmp_path / "own"))
    shared = onward.changed(finish={"start_share": 0.25})
    mean = load_file(trained(shared, data, tmp_path / "mean"))
    before = load_file(start)
    for name, tensor in own.items():
        if tensor.is_floating_point():
            torch.testing.assert_close(mean[name], 0.75 * tensor + 0.25 * before[name])


def test_maps_that_the_start_lacks_are_not_mixed_with_noise() -> None:
    def compact(**maps: bool) -> DenseMethod:
        method = make_method("compact", {"imagenet": False, "widths": (16, 16, 16, 16),
                                         "representation_settings": maps}, ("cort",))  # fmt: skip
        assert isinstance(method, DenseMethod)
        return method

    method, old = compact(size=True), compact()
    weights = {name: tensor + 1.0 if tensor.is_floating_point() else tensor
               for name, tensor in method.build().state_dict().items()}  # fmt: skip
    start = Start(Path("start"), Model(small_card(("cort",)), old, old.build()))
    mean = phases.mean_with_start(weights, method, start, 0.5)
    row = list(method.output_maps).index("size")
    name = next(each for each in weights if each.startswith(f"{method.output_layer}."))
    rows = len(method.output_maps)
    kept, own = (each[name].reshape(rows, -1)[row] for each in (mean, weights))
    torch.testing.assert_close(kept, own)


@pytest.fixture(scope="session")
def compact_of_sets(tmp_path_factory: pytest.TempPathFactory, data: Dataset) -> tuple[Path, Path]:
    """The run folder of a tiny network trained on two sets, and the set without types."""
    folder = tmp_path_factory.mktemp("sets")
    write_pairs(folder / "squares", 3)
    recipe = Recipe.model_validate({
        "method": "compact",
        "settings": {"imagenet": False, "widths": (16, 16, 16, 16),
                     "representation_settings": {"size": True}},
        "augment": {"size": 64, "diameter": 24.0, "diameter_of": "image", "wide_share": 0.3},
        "training": {"epochs": 1, "crops_per_epoch": 16, "batch_size": 4, "warmup_steps": 2,
                     "validation_images": 4, "workers": 0, "untyped": "none"},
        "prediction": {"scale": 1.5, "tile": 128, "overlap": 16},
        "finish": {"calibrate_images": 4, "export": True, "int8_images": 3},
    })  # fmt: skip
    joined = open_datasets([data.root, folder / "squares"])
    trained(recipe, joined, folder / "run")
    return folder / "run", folder / "squares"


def test_a_model_of_several_sets_knows_their_types_and_one_size(
    compact_of_sets: tuple[Path, Path], data: Dataset
) -> None:
    card = read_card(compact_of_sets[0] / "model.safetensors")
    assert card.type_names == ("cort", NO_TYPE)
    assert card.median_diameter == pytest.approx(24.0 / 1.5)
    assert set(card.trained_on) >= {"x0", "x1", "x2"}
    assert set(card.trained_on) <= {"x0", "x1", "x2", *data.ids}
    assert card.selected_on == ()


def test_the_exported_model_predicts_the_same(compact_of_sets: tuple[Path, Path]) -> None:
    run, squares = compact_of_sets
    exported = run / "model.onnx"
    source = open_datasets([squares]).source("x0")
    maps = []
    for name in ("model.safetensors", "model.onnx"):
        predictor, card = load_predictor(run / name, "cpu")
        assert isinstance(predictor, DensePredictor)
        assert predictor.measures_size
        assert read_card(run / name) == card
        maps.append(predictor.maps(source, ratio=1.0))
    # Training computes in bfloat16 where it is faster, and the exported file in 8-bit integers.
    assert np.abs(maps[0] - maps[1]).mean() < 0.02
    assert "QuantizeLinear" in {node.op_type for node in onnx.load(str(exported)).graph.node}


def test_a_set_that_is_left_out_is_watched_and_not_trained_on(
    compact_of_sets: tuple[Path, Path], data: Dataset
) -> None:
    joined = open_datasets([data.root, compact_of_sets[1]], ("squares",))
    assert isinstance(joined, JoinedDataset)
    images = choose_images(Recipe(method="compact"), joined, -1)
    assert images.keeps_back
    assert not images.chooses
    assert set(images.shown) == {"squares/x0", "squares/x1", "squares/x2"}
    assert {joined.set_of(each) for each in images.training} == {data.root.name}


def test_a_finished_run_may_be_resumed_without_changes(
    compact_of_sets: tuple[Path, Path], data: Dataset
) -> None:
    """A failure in a phase costs that phase alone."""
    run, squares = compact_of_sets
    source = open_datasets([squares]).source("x0")

    def maps() -> Any:
        predictor, _ = load_predictor(run / "model.onnx", "cpu")
        assert isinstance(predictor, DensePredictor)
        return predictor.maps(source, ratio=1.0)

    before = maps()
    (run / "model.onnx").unlink()
    joined = open_datasets([data.root, squares])
    recipe = Recipe.model_validate_json((run / "recipe.json").read_text(encoding="utf-8"))
    trained(recipe, joined, run, resume=True)
    np.testing.assert_array_equal(maps(), before)


class Surer(Threshold):
    """Scores that increase in alphabetical order."""

    def candidates(self, source: ImageSource) -> Candidates:
        self.score = 0.5 + 0.02 * int(source.name[1:])
        return super().candidates(source)


@pytest.fixture
def tenths(tmp_path: Path) -> Dataset:
    """Images of ten squares, of which more and more are annotated."""
    paths = {path.stem: path for path in save_images(tmp_path / "images", [10] * 24)}
    annotated = {name: index * 10 // 23 for index, name in enumerate(paths)}
    return Dataset(
        layout="test", root=tmp_path, ids=tuple(paths), type_names=("cell",), paths=paths,
        read_instances=lambda name: Instances.from_label_map(squares(annotated[name])),
    )  # fmt: skip


def test_a_model_learns_what_quality_to_expect(
    tenths: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    model = tmp_path / "model.safetensors"
    save_model(model, small_card(("cell",)), small_weights(("cell",)))
    monkeypatch.setattr(phases, "load_predictor", lambda path, _: (Surer(), read_card(path)))
    few = FinishSettings(quality_images=19)
    phases.finish_model(model, few, tenths, tenths.ids, "cpu")
    assert read_card(model).quality is None
    assert "19 annotated images" in caplog.text
    phases.finish_model(model, FinishSettings(quality_images=24), tenths, tenths.ids, "cpu")
    learnt = read_card(model).quality
    assert learnt is not None
    assert (learnt.images, set(learnt.terms)) == (24, {"hits"})
    low, high = (learnt.of({"hits": hits}) for hits in (0.05, 0.97))  # of the first and the last
    assert low == pytest.approx(0.0, abs=0.1)
    assert high == pytest.approx(1.0, abs=0.1)
    before = model.read_bytes()
    phases.finish_model(model, few, tenths, tenths.ids, "cpu")
    assert model.read_bytes() == before

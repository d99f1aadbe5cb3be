"""What a run takes from its starting model: weights by the maps' names, and the scale."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bigkingxxl.errors import InputError
from bigkingxxl.methods.registry import make_method
from bigkingxxl.model_card import ModelCard
from bigkingxxl.model_files import Model, save_model
from bigkingxxl.operating_points import OperatingPoint, OperatingPoints, SelectionParameters
from bigkingxxl.training.recipe import Recipe, load_recipe
from bigkingxxl.training.starting_model import (
    CellSizes,
    Start,
    adapted,
    load_start,
    take_weights,
    warn_of_new_maps,
)
from tests.refusals import refused
from tests.small_models import SMALL_UNETR, small_card, small_weights

FLOWS = {**SMALL_UNETR, "representation": "flows"}
COMPACT: dict[str, Any] = {"widths": (8, 8, 8, 8), "imagenet": False}


def start_of(method: str, settings: dict[str, Any], types: tuple[str, ...], seed: int) -> Start:
    torch.manual_seed(seed)
    made = make_method(method, settings, types)
    card = ModelCard(method=method, settings=settings, type_names=types)
    return Start(Path("base.safetensors"), Model(card, made, made.build().eval()))


def test_maps_that_the_start_lacks_are_named(caplog: pytest.LogCaptureFixture) -> None:
    start = start_of("compact", {**COMPACT, "representation": "flows"}, ("a", "b"), seed=0)
    for sizes, named in (({}, False), ({"size": True, "width": True}, True)):
        settings = {**COMPACT, "representation": "flows", "representation_settings": sizes}
        warn_of_new_maps(make_method("compact", settings, ("a", "c")), start)
        assert all((name in caplog.text) == named for name in ("size", "width"))
        assert "type_c" not in caplog.text


def maps_after(
    method: str, settings: dict[str, Any], start: Start, types: tuple[str, ...], image: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Logits, by the maps' names, of a new network that took the start's weights."""
    torch.manual_seed(99)
    made: Any = make_method(method, settings, types)
    network = made.build().eval()
    take_weights(network, made, start)
    return maps_of(made, network, image)


def maps_of(made: Any, network: Any, image: torch.Tensor) -> dict[str, torch.Tensor]:
    names = [channel.name for channel in made.representation.channels]
    with torch.inference_mode():
        return dict(zip(names, network(image)[0], strict=True))


@pytest.mark.parametrize(("method", "settings"), [("compact", COMPACT), ("unetr", FLOWS)])
@pytest.mark.parametrize("types", [("b", "a"), ("a", "new"), ("x", "y", "z"), ("mine",)])
def test_existing_maps_are_kept_and_new_types_start_at_the_mean(
    method: str, settings: dict[str, Any], types: tuple[str, ...]
) -> None:
    start = start_of(method, settings, ("a", "b", "c"), seed=0)
    image = torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(1))
    before = maps_of(start.model.method, start.model.network, image)
    after = maps_after(method, settings, start, types, image)
    mean = torch.stack([before[f"type_{name}"] for name in "abc"]).mean(dim=0)
    for name, found in after.items():
        torch.testing.assert_close(found, before.get(name, mean), rtol=1e-3, atol=1e-4)
    assert {"foreground", "flow_row", "flow_column"} <= after.keys()
    assert ("type_mine" in after) == (len(types) > 1 and "mine" in types)


def test_a_model_of_one_type_grows_type_maps() -> None:
    start = start_of("compact", COMPACT, ("cell",), seed=0)
    image = torch.randn(1, 1, 64, 64)
    before = maps_of(start.model.method, start.model.network, image)
    after = maps_after("compact", COMPACT, start, ("a", "b"), image)
    assert set(after) - set(before) == {"type_a", "type_b"}
    for name, expected in before.items():
        torch.testing.assert_close(after[name], expected, rtol=1e-3, atol=1e-4)


def test_a_network_of_other_widths_is_refused() -> None:
    start = start_of("compact", COMPACT, ("a",), seed=0)
    wider = {**COMPACT, "widths": (8, 8, 8, 16)}
    method = make_method("compact", wider, ("a",))
    with pytest.raises(InputError) as caught:
        take_weights(method.build(), method, start)
    assert caught.value.file == start.path
    assert "'decoder.3" in str(caught.value)


def saved(folder: Path) -> Path:
    path = folder / "unetr.safetensors"
    save_model(path, small_card(("a",)), small_weights(("a",)))
    return path


def test_a_model_of_another_method_is_refused(tmp_path: Path) -> None:
    recipe = load_recipe("compact", init=str(saved(tmp_path)))
    with pytest.raises(InputError) as caught:
        load_start(recipe)
    assert (caught.value.found, caught.value.expected) == ("unetr", "compact")
    assert load_start(load_recipe("unetr", init=str(saved(tmp_path)))) is not None
    assert load_start(load_recipe("compact")) is None


def base_model(**values: Any) -> Model:
    """A model of flows for cells of 16 pixels."""
    card = small_card(("a", "b")).changed(**{
        "settings": FLOWS, "median_diameter": 16.0,
        "prediction": {"scale": 1.5, "tile": 512, "tta": "mirror"}, **values,
    })  # fmt: skip
    made = make_method("unetr", FLOWS, ("a", "b"))
    return Model(card, made, made.build())


def adapting(**values: Any) -> Recipe:
    return Recipe.model_validate({
        "method": "unetr", "init": "base", "adapt": True, "augment": {"zoom": (0.8, 1.25)}, **values
    })  # fmt: skip


@pytest.mark.parametrize(
    ("diameter", "scale"), [(16.0, 1.5), (32.0, 0.75), (8.0, 3.0), (1.0, 6.0), (4000.0, 0.05)]
)
def test_cells_are_scaled_to_sizes_that_the_model_knows(diameter: float, scale: float) -> None:
    found = adapted(adapting(), base_model(), CellSizes(diameter, mixed=False))
    assert found.prediction.scale == pytest.approx(scale)
    assert (found.prediction.tile, found.prediction.tta) == (512, ("mirror",))
    assert found.augment.zoom == pytest.approx((0.8 * scale, 1.25 * scale))
    assert not found.adapt


def test_settings_of_the_recipe_take_precedence() -> None:
    recipe = adapting(prediction={"tile": 256}, normalisation={"high": 98.0})
    model = base_model(normalisation={"low": 1.0})
    found = adapted(recipe, model, CellSizes(32.0, mixed=False))
    assert (found.prediction.tile, found.prediction.scale) == (256, 0.75)
    assert found.normalisation.high == 98.0
    untouched = adapted(adapting(), model, CellSizes(32.0, mixed=False))
    assert untouched.normalisation == model.card.normalisation


@pytest.mark.parametrize(("mixed", "vote"), [(False, "image"), (True, "cell")])
def test_areas_of_operating_points_follow_the_cells(mixed: bool, vote: str) -> None:
    point = OperatingPoint(
        decode={"foreground_threshold": 0.4, "minimum_area": 10},
        select=SelectionParameters(score_threshold=0.6, minimum_area=30.0),
    )
    points = OperatingPoints(by_type={"a": point}, tuned_on=("x",))
    model = base_model(operating_points=points.model_dump())
    found = adapted(adapting(), model, CellSizes(32.0, mixed)).operating_points
    own = found.of("a")
    assert (own.decode["foreground_threshold"], own.decode["minimum_area"]) == (0.4, 40)
    assert (own.select.score_threshold, own.select.minimum_area) == (0.6, 120.0)
    assert found.default.select.minimum_area == pytest.approx(80.0)
    assert (found.type_vote, found.tuned_on) == (vote, ())


def test_a_model_without_cell_sizes_is_used_unchanged() -> None:
    model = base_model(median_diameter=None)
    found = adapted(adapting(), model, CellSizes(32.0, mixed=False))
    assert found.prediction.scale == 1.5
    assert np.isfinite(found.augment.zoom).all()


@pytest.mark.parametrize(
    ("diameter", "scale"), [(12.0, 1.5), (28.0, 1.5), (60.0, 0.75), (5.0, 3.0)]
)
def test_cells_of_known_sizes_are_not_rescaled(diameter: float, scale: float) -> None:
    known = base_model(image_diameters={"a": (10.0, 14.0), "b": (15.0, 30.0)})
    found = adapted(adapting(), known, CellSizes(diameter, mixed=False))
    assert found.prediction.scale == pytest.approx(scale)


# ---- detectors -----------------------------------------------------------------------------------

EIGHT = ("a172", "bt474", "bv2", "huh7", "mcf7", "shsy5y", "skbr3", "skov3")
THREE = ("astro", "cort", "shsy5y")
REGIONS: dict[str, Any] = {
    "backbone": "resnet18", "channels": 8, "box_width": 16, "mask_width": 8, "mask_depth": 1,
}  # fmt: skip


@pytest.mark.parametrize(
    ("method", "settings", "heads", "rows"),
    [
        ("mask_rcnn", {}, ["cls_score"], 1),
        ("mask_rcnn", {"boxes_by_type": True, "masks_by_type": True},
         ["cls_score", "bbox_pred", "mask_fcn_logits"], 1),
        ("cascade_rcnn", {}, ["cls_score"], 3),
    ],
)  # fmt: skip
def test_a_detector_of_eight_types_becomes_one_of_three(
    method: str, settings: dict[str, Any], heads: list[str], rows: int
) -> None:
    """The background and the type of the same name keep their rows; new types start anew."""
    start = start_of(method, REGIONS | settings, EIGHT, seed=0)
    old = start.model.network.state_dict()
    torch.manual_seed(1)
    made = make_method(method, REGIONS | settings, THREE)
    network = made.build()
    fresh = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    take_weights(network, made, start)
    changed = set()
    for name, tensor in network.state_dict().items():
        if tensor.equal(old[name]):
            continue
        changed.add(name)
        size = len(tensor) // 4  # rows per type
        found, before, own = (
            each.reshape(-1, size, *tensor.shape[1:]) for each in (tensor, old[name], fresh[name])
        )
        assert (len(found), len(before)) == (4, 9)
        assert found[0].equal(before[0])
        assert found[3].equal(before[1 + EIGHT.index("shsy5y")])
        assert found[1:3].equal(own[1:3])
    assert {name.split(".")[-2] for name in changed} == set(heads)
    scores = [name for name in changed if "cls_score.weight" in name]
    assert len(scores) == rows  # in every stage


def test_a_detector_with_the_same_types_is_used_completely() -> None:
    start = start_of("mask_rcnn", REGIONS | {"boxes_by_type": True}, ("a", "b"), seed=0)
    method = make_method("mask_rcnn", REGIONS | {"boxes_by_type": True}, ("a", "b"))
    network = method.build()
    take_weights(network, method, start)
    for name, tensor in start.model.network.state_dict().items():
        assert tensor.equal(network.state_dict()[name])


def test_a_detector_of_another_shape_is_refused() -> None:
    start = start_of("mask_rcnn", REGIONS, EIGHT, seed=0)
    others: list[tuple[dict[str, Any], str]] = [
        ({"channels": 16}, "backbone.fpn"), ({"boxes_by_type": True}, "bbox_pred"),
        ({"box_width": 24}, "box_heads"),
    ]  # fmt: skip
    for settings, name in others:
        method = make_method("mask_rcnn", REGIONS | settings, THREE)
        with refused(InputError, name, file="base.safetensors"):
            take_weights(method.build(), method, start)

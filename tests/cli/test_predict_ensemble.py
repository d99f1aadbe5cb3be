"""`bigkingxxl predict` with several models: fused, weighted, and one model per cell type."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner, Result

import bigkingxxl as bk
from bigkingxxl.candidates import Candidates
from bigkingxxl.cli import main
from bigkingxxl.errors import InputError
from bigkingxxl.inference.ensemble import Ensemble
from bigkingxxl.inference.load_ensemble import load_ensemble
from bigkingxxl.model_card import ModelCard, PredictionSettings
from bigkingxxl.model_files import METADATA_KEY
from tests.refusals import numbers_of, refused, refused_by
from tests.small_models import SMALL_UNETR
from tests.support import sentence_of

Run = Callable[..., Result]
GAINS = {"bright": 8.0, "dark": -8.0}


def model_of(path: Path, names: tuple[str, ...], minimum_area: float = 20, **card: Any) -> Path:
    """A model of one multiplication: bright or dark regions are cells of that type."""
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    gains = [GAINS.get(name, 8.0) for name in names]
    sides = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["B", count, "h", "w"])
             for name, count in (("image", 1), ("maps", len(names)))]  # fmt: skip
    constants = {"gain": gains, "offset": [-4.0] * len(names)}
    weights = [numpy_helper.from_array(np.array(values, np.float32).reshape(1, -1, 1, 1), name)
               for name, values in constants.items()]  # fmt: skip
    nodes = [
        helper.make_node("Mul", ["image", "gain"], ["scaled"]),
        helper.make_node("Add", ["scaled", "offset"], ["logits"]),
        helper.make_node("Sigmoid", ["logits"], ["maps"]),
    ]
    graph = helper.make_graph(nodes, "model", sides[:1], sides[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    points = {"default": {"select": {"minimum_area": minimum_area}}}
    written = ModelCard.model_validate({
        "method": "unetr", "settings": {**SMALL_UNETR, "representation": "components"},
        "type_names": names, "prediction": PredictionSettings(tile=64, overlap=0),
        "operating_points": points, **card,
    })  # fmt: skip
    helper.set_model_props(model, {METADATA_KEY: written.model_dump_json()})
    path.write_bytes(model.SerializeToString())
    return path


def field(*squares: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    """uint8[64, 64]: gray with squares, each (row, column, side, brightness)."""
    image = np.random.default_rng(0).normal(120, 1, (64, 64)).astype(np.uint8)
    for row, col, side, value in squares:
        image[row : row + side, col : col + side] = value
    return image


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """An image of three bright cells, one of three dark ones, and one of both."""
    folder = tmp_path / "images"
    folder.mkdir()
    places = ((4, 4, 12), (24, 24, 12), (44, 44, 7))
    # The brightest or darkest few pixels fix the other end of the scale.
    ends = ((0, 60, 3, 0), (60, 0, 3, 255))
    for name, value, end in (("light", 255, ends[0]), ("night", 0, ends[1])):
        Image.fromarray(field(*((*place, value) for place in places), end)).save(
            folder / f"{name}.png"
        )
    Image.fromarray(field((4, 4, 12, 255), (24, 24, 12, 0))).save(folder / "twilight.png")
    return folder


@pytest.fixture
def by_type(tmp_path: Path) -> list[Path]:
    """A model of bright cells of 60 pixels or more, and one of dark cells of 20 or more."""
    return [
        model_of(tmp_path / "bright.onnx", ("bright",), 60),
        model_of(tmp_path / "dark.onnx", ("dark",), 20),
    ]


@pytest.fixture
def predict(tmp_path: Path, images: Path) -> Run:
    def run(models: Sequence[Path], *arguments: object, out: str = "out") -> Result:
        options = [part for path in models for part in ("--model", str(path))]
        command = ["predict", *options, *map(str, arguments), "--out", str(tmp_path / out)]
        return CliRunner().invoke(main.app, [*command, "--quiet", str(images)])

    return run


def types_of(out: Path) -> dict[str, list[str]]:
    """The types of the cells of each image."""
    found = {}
    for path in sorted((out / "measurements").glob("*.csv")):
        with path.open() as stream:
            found[path.stem] = sorted(row["type"] for row in csv.DictReader(stream))
    return found


def seen(out: Path, name: str) -> Candidates:
    return Candidates.load(out / "candidates" / f"{name}.npz")


# ---- one model a type ----------------------------------------------------------------------------


def test_one_model_a_type_and_the_type_vote(
    predict: Run, by_type: list[Path], tmp_path: Path
) -> None:
    for number, models in enumerate((by_type, by_type[::-1])):
        out = f"out{number}"
        result = predict(models, "--format", "measurements", out=out)
        assert result.exit_code == 0, result.output
        types = types_of(tmp_path / out)
        # Each type is selected by its own model's thresholds: the small bright cell is dropped, the
        # dark one kept.
        assert types["light"] == ["bright"] * 2
        assert types["night"] == ["dark"] * 3
        assert len(set(types["twilight"])) == 1
        assert seen(tmp_path / out, "light").type_names == ("bright", "dark")
        assert seen(tmp_path / out, "light").score.min() > 0.5  # not halved


def test_each_cell_may_have_its_own_type(predict: Run, by_type: list[Path], tmp_path: Path) -> None:
    result = predict(by_type, "--format", "measurements", "--type-vote", "cell")
    assert result.exit_code == 0, result.output
    assert types_of(tmp_path / "out")["twilight"] == ["bright", "dark"]


def test_a_known_type_needs_no_vote(predict: Run, by_type: list[Path], tmp_path: Path) -> None:
    result = predict(by_type, "--format", "measurements", "--cell-type", "dark")
    assert result.exit_code == 0, result.output
    types = types_of(tmp_path / "out")
    assert types["night"] == ["dark"] * 3
    assert types["twilight"] == ["dark"]
    assert "bright" not in types["light"]
    sentence = sentence_of(predict(by_type, "--cell-type", "drak", out="other"))
    assert "'drak'" in sentence
    assert "'dark'" in sentence


def test_a_model_of_all_types_votes_for_the_others(
    predict: Run, by_type: list[Path], tmp_path: Path
) -> None:
    both = model_of(tmp_path / "both.onnx", ("dark", "bright"))
    result = predict([*by_type, both], "--format", "measurements")
    assert result.exit_code == 0, result.output
    types = types_of(tmp_path / "out")
    assert set(types["light"]) == {"bright"}
    assert set(types["night"]) == {"dark"}


# ---- weights -------------------------------------------------------------------------------------


def test_weights_decide_and_are_part_of_the_key(predict: Run, tmp_path: Path) -> None:
    names = ("dark", "bright")
    models = [model_of(tmp_path / f"{k}.onnx", names, scores={"k": k}) for k in range(2)]
    # It decodes its maps at another size, so that cells are fused rather than maps.
    statistics = {"scale": 0.05, "tile": 32, "decode_scale": 1.25}
    blind = model_of(tmp_path / "blind.onnx", names, prediction=statistics)
    assert predict(models[:1]).exit_code == 0
    one = seen(tmp_path / "out", "light")
    for weights, share in (((), 0.5), ((3, 1), 0.75)):
        options = [part for weight in weights for part in ("--weight", weight)]
        result = predict([models[0], blind], *options)
        assert result.exit_code == 0, result.output
        assert "done before" not in result.stdout
        found = seen(tmp_path / "out", "light")
        highest = found.score.max() / one.score.max()
        assert highest == pytest.approx(share, abs=0.02)
    assert numbers_of(predict([models[0], blind], *options).stdout.splitlines()[-1])[-1] == 3
    assert predict(models).exit_code == 0
    same = seen(tmp_path / "out", "light")
    np.testing.assert_allclose(np.sort(same.score), np.sort(one.score), rtol=1e-6)


@pytest.mark.parametrize(
    ("weights", "found"),
    [
        ([1], 1),
        ([1, 2, 3], 3),
        ([1, 0], 0.0),
        ([1, "nan"], "nan"),
    ],
)
def test_weights_that_make_no_sense(
    predict: Run, by_type: list[Path], tmp_path: Path, weights: list[object], found: object
) -> None:
    options = [part for weight in weights for part in ("--weight", weight)]
    refused_by(predict(by_type, *options), key="weights", found=found)
    assert not (tmp_path / "out").exists()


def test_types_that_cannot_be_joined(predict: Run, by_type: list[Path], tmp_path: Path) -> None:
    both = model_of(tmp_path / "both.onnx", ("dark", "neuron"))
    sentence = sentence_of(predict([by_type[0], both]))
    assert "(bright and dark, neuron)" in sentence
    assert not (tmp_path / "out").exists()


def test_help_explains_how_models_are_combined() -> None:
    text = " ".join(CliRunner().invoke(main.app, ["predict", "--help"]).stdout.split())
    assert "--weight" in text
    assert "--tta" in text
    assert "thresholds" in text


# ---- in Python -----------------------------------------------------------------------------------


def test_several_models_in_python(
    predict: Run, by_type: list[Path], images: Path, tmp_path: Path
) -> None:
    model = bk.load(by_type)
    assert predict(by_type).exit_code == 0
    for name, kind in (("light", "bright"), ("night", "dark")):
        cells = model.predict(images / f"{name}.png")
        stored = seen(tmp_path / "out", name)
        np.testing.assert_array_equal(cells.candidates.probability, stored.probability)
        assert {result["category_name"] for result in cells.to_coco()} == {kind}
    assert model.card.type_names == ("bright", "dark")
    one = bk.load([by_type[0]]).predict(images / "light.png")
    np.testing.assert_array_equal(one.label_map(), bk.load(by_type[0]).predict(
        images / "light.png").label_map())  # fmt: skip
    with refused(InputError, key="weights", found=3, expected=2):
        bk.load(by_type, weights=[1, 2, 3])
    with pytest.raises(InputError):
        bk.load([])


def test_one_scale_for_all_models(by_type: list[Path], images: Path) -> None:
    model = bk.load(by_type, scale=1.0)
    with refused(InputError, key="scale", found="diameter"):
        model.predict(images / "light.png", diameter=9)


# ---- the joint card ------------------------------------------------------------------------------


def test_the_joint_card_describes_all_models(tmp_path: Path) -> None:
    tuned = {"by_type": {"bright": {"select": {"score_threshold": 0.7}}}, "tuned_on": ["x", "y"],
             "type_vote": "cell"}  # fmt: skip
    models = [
        model_of(tmp_path / "1.onnx", ("bright",), operating_points=tuned, trained_on=["p"],
                 image_diameters={"bright": (8, 12)}, image_statistics={"fine": (0.2, 0.3)}),
        model_of(tmp_path / "2.onnx", ("dark",), 33, trained_on=["p", "q"], selected_on=["r"],
                 image_diameters={"dark": (20, 30)}, image_statistics={"fine": (0.25, 0.5)}),
        model_of(tmp_path / "3.onnx", ("dark",), 99, image_diameters={"dark": (18, 22)},
                 image_statistics={"fine": (0.3, 0.4)}),
    ]  # fmt: skip
    predictor, card = load_ensemble(models)
    assert isinstance(predictor, Ensemble)
    assert predictor.type_vote == "cell"
    points = card.operating_points
    assert points.of("bright").select.score_threshold == 0.7
    assert points.of("dark").select.minimum_area == 33
    assert (points.type_vote, points.tuned_on) == ("cell", ("x", "y"))
    assert (card.trained_on, card.selected_on) == (("p", "q"), ("r",))
    assert card.image_diameters == {"bright": (8, 12), "dark": (18, 30)}
    assert card.image_statistics == {"fine": (0.2, 0.5)}
    # A model of one type would mistake other cells for its own at another size, so it estimates
    # none.
    assert not any(each.predictor.estimate for each in predictor.members)  # type: ignore[attr-defined]
    unknown = model_of(tmp_path / "4.onnx", ("dark",))
    assert load_ensemble([models[0], unknown], type_vote="image")[1].image_diameters == {}

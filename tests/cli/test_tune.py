"""`bigkingxxl tune`: a model without torch, a small data set with debris, and bad input."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner, Result

from bigkingxxl.cli import main
from bigkingxxl.instances import Instances
from bigkingxxl.io.annotations.kaggle import write_annotations
from bigkingxxl.model_card import ModelCard, PredictionSettings
from bigkingxxl.model_files import METADATA_KEY, read_card
from bigkingxxl.operating_points import OperatingPoints
from tests.refusals import numbers_of, refused_by
from tests.small_models import SMALL_UNETR
from tests.support import sentence_of

SIZE = (64, 64)
NAMES = ("bright", "dark")
Run = Callable[..., Result]


def bright_or_dark(
    path: Path, names: tuple[str, ...] = NAMES, tta: Sequence[str] = (), **card: Any
) -> Path:
    """A model of one multiplication: bright regions are cells of one type, dark ones of another.

    Args:
        names: The first of its types, or both.
    """
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    sides = ["B", 1, "h", "w"]
    image = helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, sides)
    maps = helper.make_tensor_value_info(
        "maps", onnx.TensorProto.FLOAT, ["B", len(names), "h", "w"]
    )
    constants = {"gain": [8.0, -8.0], "offset": [-4.0, -4.0]}
    weights = [
        numpy_helper.from_array(
            np.array(values[: len(names)], np.float32).reshape(1, -1, 1, 1), name
        )
        for name, values in constants.items()
    ]
    nodes = [
        helper.make_node("Mul", ["image", "gain"], ["scaled"]),
        helper.make_node("Add", ["scaled", "offset"], ["logits"]),
        helper.make_node("Sigmoid", ["logits"], ["maps"]),
    ]
    graph = helper.make_graph(nodes, "bright_or_dark", [image], [maps], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    prediction = PredictionSettings(tile=64, overlap=0).changed(tta=tta)
    written = ModelCard(
        method="unetr", settings={**SMALL_UNETR, "representation": "components"},
        type_names=names, prediction=prediction, **card,
    )  # fmt: skip
    helper.set_model_props(model, {METADATA_KEY: written.model_dump_json()})
    path.write_bytes(model.SerializeToString())
    return path


def field(kind: int, seed: int) -> tuple[NDArray[np.uint8], Instances]:
    """Four cells of 10 x 10 pixels, and eight specks of 5 x 5 that are no cells."""
    rng = np.random.default_rng(seed)
    image = np.full(SIZE, 128.0) + rng.normal(0, 2, SIZE)
    corners = [(6 + 28 * row, 6 + 28 * col) for row in (0, 1) for col in (0, 1)]
    sign = 1 if kind == 0 else -1
    for row, col in corners:
        image[row : row + 10, col : col + 10] += sign * 90
        for away in (14, 21):
            image[row + away : row + away + 5, col : col + 5] += sign * 90
    truth = Instances.from_crops(
        corners, [np.ones((10, 10), bool)] * 4, SIZE,
        cell_type=np.full(4, kind), type_names=NAMES,
    )  # fmt: skip
    return image.clip(0, 255).astype(np.uint8), truth


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six fields of each type, each from a place of its own."""
    folder = tmp_path_factory.mktemp("tune") / "data"
    (folder / "train").mkdir(parents=True)
    cells = {}
    for number in range(12):
        image, cells[f"image{number}"] = field(number % 2, number)
        Image.fromarray(image).save(folder / "train" / f"image{number}.png")
    write_annotations(folder / "train.csv", cells)
    rows = "".join(f"image{number},{number}\n" for number in range(12))
    (folder / "fields.csv").write_text(f"id,field\n{rows}")
    return folder


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return bright_or_dark(tmp_path / "model.onnx")


@pytest.fixture
def tune(model: Path, data: Path) -> Run:
    def run(*arguments: object, path: Path = model) -> Result:
        command = ["tune", str(path), "--data", str(data), "--quiet", *map(str, arguments)]
        return CliRunner().invoke(main.app, command)

    return run


def test_thresholds_are_found_saved_and_used(
    tune: Run, model: Path, data: Path, tmp_path: Path
) -> None:
    result = tune("--plots", tmp_path / "plots", "--maps", tmp_path / "maps", "--tta", "none")
    assert result.exit_code == 0, result.output
    points = read_card(model).operating_points
    assert set(points.tuned_on) == {f"image{number}" for number in range(12)}
    for name in NAMES:
        assert 25 < points.of(name).select.minimum_area <= 100
    assert "(+0." in result.stdout
    assert "minimum_area 20 to 100" in result.stdout
    plots = {path.name for path in (tmp_path / "plots").iterdir()}
    assert {"score_threshold.png", "minimum_area.png", "foreground_threshold.png"} <= plots
    assert len(list((tmp_path / "maps").rglob("*.npy"))) == 12
    out = tmp_path / "out"
    command = ["predict", str(data / "train"), "--model", str(model), "--out", str(out)]
    done = CliRunner().invoke(main.app, [*command, "--format", "labels", "--quiet"])
    assert done.exit_code == 0, done.output
    assert numbers_of(done.stdout.splitlines()[-1].rpartition(":")[2])[:2] == [48, 12]


def test_json_contains_both_scores_and_the_gain(tune: Run, model: Path, tmp_path: Path) -> None:
    before = model.read_bytes()
    result = tune("--json", "--out", tmp_path / "tuned.onnx")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert model.read_bytes() == before
    for each in told["by_type"].values():
        assert abs(each["after"] - each["repainted"]) < 0.002
        assert each["after"] == pytest.approx(1)
        assert each["before"] == pytest.approx(4 / 12)
        assert each["crossfitted_gain"] == pytest.approx(8 / 12)
        assert each["kept"]
    assert told["crossfitted"]["competition_map"] == pytest.approx(1)
    written = OperatingPoints.model_validate(told["points"])
    assert read_card(tmp_path / "tuned.onnx").operating_points == written


def test_tuning_an_exported_model_needs_no_torch(model: Path, data: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from bigkingxxl.cli.tune import tune; "
        f"tune({str(model)!r}, Path({str(data)!r}), quiet=True); print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.splitlines()[-1].split()}
    assert "onnxruntime" in loaded
    assert not loaded & {"torch", "torchvision", "timm", "lightning", "monai", "onnx"}


def test_a_single_fold(tune: Run, model: Path) -> None:
    result = tune("--fold", 0)
    assert result.exit_code == 0, result.output
    assert 0 < len(read_card(model).operating_points.tuned_on) < 12


def test_images_of_training_are_refused_unless_forced(tune: Run, tmp_path: Path) -> None:
    known = bright_or_dark(tmp_path / "known.onnx", trained_on=("image3",), selected_on=("image4",))
    before = known.read_bytes()
    sentence = sentence_of(tune(path=known))
    assert numbers_of(sentence)[:2] == [1, 12]
    assert "'image3'" in sentence
    assert known.read_bytes() == before
    forced = tune("--force", path=known)
    assert forced.exit_code == 0, forced.output
    assert "Note: the model was trained on 1 of the images." in forced.stdout
    assert "Note: 1 of the images chose the model's checkpoint" in forced.stdout


@pytest.mark.parametrize(
    ("arguments", "fields"),
    [
        (["--fold", 9], {"key": "--fold", "found": 9}),
        (["--folds", "x.csv"], {"key": "--fold"}),
        (["--out", "tuned.safetensors"], {"key": "--out", "expected": ".onnx"}),
        (["--device", "cuda"], {"key": "device", "found": "cuda"}),
    ],
)
def test_bad_requests(tune: Run, arguments: list[object], fields: dict[str, Any]) -> None:
    refused_by(tune(*arguments), **fields)


def test_a_missing_model_and_a_set_without_cells(tune: Run, data: Path, tmp_path: Path) -> None:
    refused_by(tune(path=tmp_path / "none.onnx"), file="none.onnx")
    refused_by(tune(path=Path("open")), key="--out", found="open")
    empty = tmp_path / "empty"
    shutil.copytree(data / "train", empty / "train")
    cells = {f"image{number}": Instances.empty(SIZE, NAMES) for number in range(12)}
    write_annotations(empty / "train.csv", cells)
    assert sentence_of(tune("--data", empty))


def test_a_model_of_one_type_is_tuned_on_its_own_images(
    tune: Run, data: Path, tmp_path: Path
) -> None:
    own = bright_or_dark(tmp_path / "bright.onnx", NAMES[:1])
    result = tune(path=own)
    assert result.exit_code == 0, result.output
    assert [6, 12] in [numbers_of(line)[:2] for line in result.stdout.splitlines()]
    points = read_card(own).operating_points
    assert set(points.tuned_on) == {f"image{number}" for number in range(0, 12, 2)}
    assert 25 < points.of("bright").select.minimum_area <= 100


# ---- test-time augmentation ----------------------------------------------------------------------


def test_augmentation_stays_off_without_a_gain(tune: Run, model: Path) -> None:
    """A model of one multiplication predicts the same in every view."""
    result = tune("--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    trial = told["tta_trial"]
    assert (trial["tta"], trial["views"]) == (["flips"], 4)
    assert not trial["is_asked"]
    assert not trial["is_on"]
    assert trial["gain"]["gain"] == pytest.approx(0, abs=1e-6)
    assert trial["seconds_ratio"] > 0
    assert told["tta"] == []
    assert read_card(model).prediction.tta == ()


@pytest.mark.parametrize(("text", "names"), [("turns", ("turns",)), ("none", ())])
def test_requested_augmentation_is_kept(
    tune: Run, tmp_path: Path, text: str, names: tuple[str, ...]
) -> None:
    model = bright_or_dark(tmp_path / "flipped.onnx", tta=["flips"])
    result = tune("--tta", text, path=model)
    assert result.exit_code == 0, result.output
    assert read_card(model).prediction.tta == names
    assert ("Test-time augmentation turns" in result.stdout) == bool(names)
    assert read_card(model).operating_points.tuned_on


def test_an_unknown_augmentation(tune: Run) -> None:
    refused_by(tune("--tta", "spin"), key="--tta", found="spin")

"""`bigkingxxl tune X.ensemble`: weights that matter, and members that may not be used."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import tifffile
from typer.testing import CliRunner, Result

import bigkingxxl as bk
from bigkingxxl.cli import main
from bigkingxxl.inference.ensemble_file import read_ensemble, write_ensemble
from bigkingxxl.instances import Instances
from bigkingxxl.io.annotations.kaggle import write_annotations
from bigkingxxl.model_card import ModelCard, PredictionSettings
from bigkingxxl.model_files import METADATA_KEY
from tests.refusals import refused_by
from tests.small_models import SMALL_UNETR
from tests.support import sentence_of

SIZE, NAMES, IMAGES = (64, 64), ("a", "b", "c"), 12
Run = Callable[..., Result]


def one_channel(path: Path, channel: int, names: Sequence[str], **card: Any) -> Path:
    """One instance of a model, for one cell type: what is bright in one channel is a cell."""
    helper = onnx.helper
    image = helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, ["B", 3, "h", "w"])
    maps = helper.make_tensor_value_info("maps", onnx.TensorProto.FLOAT, ["B", 1, "h", "w"])
    weight = np.zeros((1, 3, 1, 1), np.float32)
    weight[0, channel] = 8
    tensors = [onnx.numpy_helper.from_array(weight, "weight"),
               onnx.numpy_helper.from_array(np.array([-4], np.float32), "bias")]  # fmt: skip
    nodes = [helper.make_node("Conv", ["image", "weight", "bias"], ["logits"]),
             helper.make_node("Sigmoid", ["logits"], ["maps"])]  # fmt: skip
    graph = helper.make_graph(nodes, "one_channel", [image], [maps], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    settings = {**SMALL_UNETR, "representation": "components", "image_channels": 3}
    written = ModelCard(
        method="unetr", settings=settings, type_names=tuple(names), image_channels=3,
        prediction=PredictionSettings(tile=64, overlap=0), **card,
    )  # fmt: skip
    helper.set_model_props(model, {METADATA_KEY: written.model_dump_json()})
    path.write_bytes(model.SerializeToString())
    return path


def write_fields(folder: Path) -> Path:
    """Cells of type k are bright in channel k; in channel c there is also something larger."""
    (folder / "train").mkdir(parents=True)
    cells = {}
    for number in range(IMAGES):
        kind = number % 3
        image = np.full((*SIZE, 3), 20.0) + np.random.default_rng(number).normal(0, 1, (*SIZE, 3))
        corners = [(4 + 14 * place, 4) for place in range(4)]
        for row, col in corners:
            image[row : row + 10, col : col + 10, kind] = 200
        for other in {0, 1} - {kind}:
            image[60:, 60:, other] = 200  # a speck, so that the channel has a range
        image[2:32, 30:60, 2] = 200
        cells[f"image{number:02}"] = Instances.from_crops(
            corners, [np.ones((10, 10), bool)] * 4, SIZE,
            cell_type=np.full(4, kind), type_names=NAMES,
        )  # fmt: skip
        tifffile.imwrite(
            folder / "train" / f"image{number:02}.tif",
            image.clip(0, 255).astype(np.uint8).transpose(2, 0, 1), photometric="minisblack",
            metadata={"axes": "CYX"},
        )  # fmt: skip
    write_annotations(folder / "train.csv", cells)
    rows = "".join(f"image{number:02},{number}\n" for number in range(IMAGES))
    (folder / "fields.csv").write_text(f"id,field\n{rows}")
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_fields(tmp_path_factory.mktemp("fields") / "data")


@pytest.fixture
def ensemble(tmp_path: Path) -> Path:
    """Three instances, one per cell type, like the team's."""
    files = [one_channel(tmp_path / f"{name}.onnx", place, [name])
             for place, name in enumerate(NAMES)]  # fmt: skip
    write_ensemble(tmp_path / "three.ensemble", files)
    return tmp_path / "three.ensemble"


@pytest.fixture
def tune(data: Path) -> Run:
    def run(path: Path, *arguments: object) -> Result:
        command = ["tune", str(path), "--data", str(data), "--quiet", *map(str, arguments)]
        return CliRunner().invoke(main.app, command)

    return run


def types_found(model: Path, image: Path) -> set[str]:
    cells = bk.load(model).predict(image).instances
    return {cells.type_names[each] for each in cells.cell_type}


def test_weights_of_the_three_instance_ensemble_are_tuned_and_used(
    tune: Run, ensemble: Path, data: Path, tmp_path: Path
) -> None:
    """The instance of type c claims every image until its weight is reduced."""
    image, path = data / "train" / "image00.tif", tmp_path / "tuned.ensemble"
    assert types_found(ensemble, image) == {"c"}
    before = ensemble.read_bytes()
    result = tune(ensemble, "--tta", "none", "--json", "--out", path)
    assert result.exit_code == 0, result.output
    assert ensemble.read_bytes() == before
    told = json.loads(result.stdout)
    assert told["keeps_weights"]
    assert told["start"]["competition_map"] < 0.4
    assert told["crossfitted"]["competition_map"] > 0.9
    assert told["with_weights"]["gain"] > 0.5
    found = read_ensemble(path)
    assert found.weights == tuple(told["weights"])
    assert found.weights[2] < 0.5 * found.weights[0]
    assert sum(found.weights) == pytest.approx(3, abs=1e-4)
    assert found.points is not None
    assert set(found.points.tuned_on) == {f"image{number:02}" for number in range(IMAGES)}
    assert types_found(path, image) == {"a"}
    compared = CliRunner().invoke(
        main.app, ["compare", str(ensemble), str(path), "--truth", str(data), "--metrics", "map",
                   "--json", "--quiet"],
    )  # fmt: skip
    assert compared.exit_code == 0, compared.output
    methods = json.loads(compared.stdout)["methods"]
    maps = {name: method["metrics"]["map"]["value"] for name, method in methods.items()}
    assert maps["three"] < 0.4
    assert maps["tuned"] > 0.9
    assert len(methods["tuned"]["in_sample"]) == IMAGES


def test_predict_accepts_a_tuned_ensemble(tune: Run, ensemble: Path, data: Path) -> None:
    assert tune(ensemble, "--tta", "none").exit_code == 0
    out = ensemble.with_name("cells")
    done = CliRunner().invoke(
        main.app, ["predict", str(data / "train"), "--model", str(ensemble), "--out", str(out),
                   "--format", "labels", "--quiet"],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    scored = CliRunner().invoke(main.app, ["evaluate", str(out), str(data), "--json"])
    assert json.loads(scored.stdout)["competition_map"] > 0.9


def test_the_result_is_printed_in_words(tune: Run, ensemble: Path) -> None:
    result = tune(ensemble, "--tta", "flips")
    assert result.exit_code == 0, result.output
    assert "Cross-fitted mAP of what is kept" in result.stdout
    assert "Test-time augmentation flips" in result.stdout
    assert read_ensemble(ensemble).tta == ("flips",)


def test_an_image_is_predicted_without_members_trained_on_it(tune: Run, tmp_path: Path) -> None:
    """Two folds of one model: each image is scored by the other one alone."""
    ids = [f"image{number:02}" for number in range(IMAGES)]
    halves = [ids[: IMAGES // 2], ids[IMAGES // 2 :]]
    files = [one_channel(tmp_path / f"fold{place}.onnx", 0, ["cell"], trained_on=tuple(own))
             for place, own in enumerate(halves)]  # fmt: skip
    write_ensemble(tmp_path / "folds.ensemble", files)
    result = tune(tmp_path / "folds.ensemble", "--tta", "none", "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["out_of_fold_images"] == IMAGES
    assert told["weights"] == [1, 1]


def test_training_images_of_all_members_are_refused(
    tune: Run, ensemble: Path, tmp_path: Path
) -> None:
    files = list(read_ensemble(ensemble).files)
    files[1] = one_channel(tmp_path / "known.onnx", 1, ["b"], trained_on=("image04",))
    write_ensemble(tmp_path / "known.ensemble", files)
    assert "'image04'" in sentence_of(tune(tmp_path / "known.ensemble"))
    forced = tune(tmp_path / "known.ensemble", "--force", "--tta", "none")
    assert forced.exit_code == 0, forced.output


@pytest.mark.parametrize("weight", [0, -1, "NaN", "Infinity", None, "many"])
def test_invalid_weights_are_refused(tune: Run, ensemble: Path, weight: object) -> None:
    content = json.loads(ensemble.read_text(encoding="utf-8"))
    content["members"][1]["weight"] = weight
    text = json.dumps(content).replace('"NaN"', "NaN").replace('"Infinity"', "Infinity")
    ensemble.write_text(text, encoding="utf-8")
    assert "three.ensemble" in sentence_of(tune(ensemble))


def test_members_that_are_lost_or_changed(tune: Run, ensemble: Path) -> None:
    member = ensemble.with_name("b.onnx")
    kept = member.read_bytes()
    one_channel(member, 1, ["b"], median_diameter=9.0)
    refused_by(tune(ensemble), file=ensemble, key=member)
    member.unlink()
    refused_by(tune(ensemble), file=ensemble, key=member.name)
    member.write_bytes(kept[:100])
    assert "three.ensemble" in sentence_of(tune(ensemble))


def test_bad_requests(tune: Run, ensemble: Path, tmp_path: Path) -> None:
    assert ".ensemble" in sentence_of(tune(ensemble, "--out", tmp_path / "x.onnx"))
    assert "--plots" in sentence_of(tune(ensemble, "--plots", tmp_path / "plots"))
    refused_by(tune(tmp_path / "lost.ensemble"), file="lost.ensemble")
    refused_by(tune(ensemble, "--tta", "spin"), key="--tta", found="spin")

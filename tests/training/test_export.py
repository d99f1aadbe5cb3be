from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from bigkingxxl.errors import InputError, ModelError
from bigkingxxl.images import ArrayImage
from bigkingxxl.inference.dense_predictor import DensePredictor
from bigkingxxl.inference.load_model import load_predictor
from bigkingxxl.methods.registry import make_method
from bigkingxxl.model_card import ModelCard, PredictionSettings
from bigkingxxl.model_files import load_model, read_card, save_model
from bigkingxxl.onnx_models import open_onnx
from bigkingxxl.training.export import export
from tests.refusals import refused

METHODS: dict[str, dict[str, Any]] = {
    "unetr": {"image_size": 64, "feature_size": 4, "hidden_size": 16, "mlp_dim": 32, "heads": 2},
    "compact": {"representation": "flows", "widths": (16, 16, 8, 8)},
}


def saved(folder: Path, name: str) -> tuple[Path, ModelCard]:
    method = make_method(name, METHODS[name], ("a", "b"))
    card = ModelCard(
        method=name,
        settings=method.settings.model_dump(),
        type_names=("a", "b"),
        prediction=PredictionSettings(tile=64, overlap=16),
    )
    save_model(folder / "model.safetensors", card, method.build().state_dict())
    return folder / "model.safetensors", card


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    path, _ = saved(folder, "compact")
    export(path, folder / "model.onnx")
    return folder / "model.onnx"


@pytest.mark.parametrize("name", METHODS)
def test_an_exported_model_predicts_the_same(tmp_path: Path, name: str) -> None:
    path, card = saved(tmp_path, name)
    assert export(path, tmp_path / "model.onnx") < 1e-3
    stored = read_card(tmp_path / "model.onnx")
    assert stored.model_dump(mode="json") == card.model_dump(mode="json")
    image = ArrayImage(np.random.default_rng(0).normal(100, 20, (75, 90)).astype(np.float32))
    maps = []
    for each in (path, tmp_path / "model.onnx"):
        predictor, _ = load_predictor(each, "cpu")
        assert isinstance(predictor, DensePredictor)
        maps.append(predictor.maps(image))
    # The torch model computes in bfloat16, so only the rounding may differ.
    assert np.abs(maps[0] - maps[1]).max() < 0.1
    assert maps[1].shape[1:] == (75, 90)


def test_prediction_with_an_exported_model_imports_no_torch(exported: Path, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (70, 80)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    script = (
        "import sys\n"
        "from bigkingxxl.cli.main import app\n"
        f"arguments = ['predict', {str(tmp_path / 'a.png')!r}, '--model', {str(exported)!r},\n"
        f"             '--out', {str(tmp_path / 'out')!r}, '--quiet']\n"
        "app(arguments, standalone_mode=False)\n"
        "heavy = {'torch', 'torchvision', 'timm', 'lightning', 'monai', 'cellpose', 'numba'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "out" / "labels" / "a.tif").is_file()


@pytest.mark.parametrize("name", METHODS)
def test_training_can_start_from_an_exported_model(tmp_path: Path, name: str) -> None:
    path, card = saved(tmp_path, name)
    export(path, tmp_path / "model.onnx")
    back = load_model(tmp_path / "model.onnx")
    assert back.card.model_dump(mode="json") == card.model_dump(mode="json")
    expected = load_model(path).network.state_dict()
    for key, tensor in back.network.state_dict().items():
        assert torch.equal(tensor, expected[key]), key


@pytest.mark.parametrize("name", METHODS)
def test_half_precision_takes_half_the_space(tmp_path: Path, name: str) -> None:
    path, _ = saved(tmp_path, name)
    export(path, tmp_path / "full.onnx")
    assert export(path, tmp_path / "half.onnx", half=True) < 1e-3
    sizes = [(tmp_path / f"{each}.onnx").stat().st_size for each in ("full", "half")]
    assert sizes[1] < 0.6 * sizes[0]
    full, half = (load_model(tmp_path / f"{each}.onnx").network for each in ("full", "half"))
    expected = full.state_dict()
    for key, tensor in half.state_dict().items():
        # float16 keeps 11 bits of a weight.
        torch.testing.assert_close(tensor, expected[key], rtol=2**-11, atol=1e-7)


def test_the_runtime_makes_padding_part_of_convolutions(exported: Path, tmp_path: Path) -> None:
    import onnx
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    onnxruntime.InferenceSession(str(exported), options, providers=["CPUExecutionProvider"])
    operators = [node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node]
    assert "Conv" in operators
    assert not {"Pad", "BatchNormalization"} & set(operators)


def test_a_foreign_or_damaged_onnx_file_is_refused(exported: Path, tmp_path: Path) -> None:
    import onnx

    foreign = onnx.load(str(exported))
    del foreign.metadata_props[:]
    onnx.save(foreign, str(tmp_path / "foreign.onnx"))
    with refused(ModelError, file="foreign.onnx"):
        open_onnx(tmp_path / "foreign.onnx")
    cut = tmp_path / "cut.onnx"
    cut.write_bytes(exported.read_bytes()[:1000])
    with refused(ModelError, file=cut):
        open_onnx(cut)
    with refused(ModelError, file="absent.onnx"):
        open_onnx(tmp_path / "absent.onnx")


def test_an_operator_the_runtime_lacks_is_refused(exported: Path, tmp_path: Path) -> None:
    import onnx

    graph = onnx.load(str(exported))
    graph.graph.node[0].op_type = "Foretell"
    onnx.save(graph, str(tmp_path / "strange.onnx"))
    with refused(ModelError, "Foretell", file="strange.onnx"):
        open_onnx(tmp_path / "strange.onnx")


def test_an_exported_model_runs_on_the_cpu_only(exported: Path) -> None:
    with refused(InputError, file=exported, key="device", found="cuda", expected="cpu"):
        load_predictor(exported, "cuda")

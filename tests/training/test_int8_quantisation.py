from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from bigkingxxl.errors import InputError, ModelError
from bigkingxxl.images import ArrayImage
from bigkingxxl.methods.registry import make_method
from bigkingxxl.model_card import ModelCard, PredictionSettings
from bigkingxxl.model_files import load_model, save_model
from bigkingxxl.onnx_models import open_onnx
from bigkingxxl.training import int8_quantisation
from bigkingxxl.training.export import export
from bigkingxxl.training.int8_quantisation import dense_convolutions, try_int8, use_int8


def images() -> Iterator[ArrayImage]:
    draws = np.random.default_rng(0)
    for side in (48, 64):
        yield ArrayImage(draws.normal(100, 20, (side, side + 32)).astype(np.float32))


def exported(path: Path, widths: tuple[int, ...] = (32, 32, 16, 16)) -> Path:
    torch.manual_seed(0)
    method = make_method("compact", {"representation": "flows", "widths": widths}, ("a",))
    network = method.build()
    for module in network.modules():  # batch norms as after a training, not the identity
        if isinstance(module, torch.nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    card = ModelCard(method="compact", settings=method.settings.model_dump(), type_names=("a",),
                     prediction=PredictionSettings(tile=64, overlap=16))  # fmt: skip
    save_model(path.with_suffix(".safetensors"), card, network.state_dict())
    export(path.with_suffix(".safetensors"), path, half=True)
    return path


@pytest.fixture(scope="module")
def floats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A compact network, exported in floating point."""
    return exported(tmp_path_factory.mktemp("floats") / "model.onnx")


@pytest.fixture
def model(floats: Path, tmp_path: Path) -> Path:
    """A copy of it, to be changed."""
    return Path(shutil.copy(floats, tmp_path / "model.onnx"))


def maps(path: Path, tile: np.ndarray) -> np.ndarray:
    _, session = open_onnx(path, threads=1)
    return np.asarray(session.run(None, {"image": tile})[0])


def test_integer_convolutions_give_almost_the_same_maps(model: Path) -> None:
    tile = np.random.default_rng(1).standard_normal((1, 1, 96, 64)).astype(np.float32)
    before, size = maps(model, tile), model.stat().st_size
    count, difference = use_int8(model, images())
    assert count == 8
    after = maps(model, tile)
    assert 0 < np.abs(after - before).mean() < 0.02
    assert difference < 0.02
    assert model.stat().st_size < 1.1 * size


def test_the_runtime_computes_in_integers(model: Path, tmp_path: Path) -> None:
    use_int8(model, images())
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    graph = onnx.load(options.optimized_model_filepath).graph
    integer = [node for node in graph.node if node.op_type == "QLinearConv"]
    assert len(integer) == 8
    weights = {each.name: onnx.numpy_helper.to_array(each) for each in graph.initializer}
    for node in integer:
        own = weights[node.input[3]]
        # Seven bits: sums of two products cannot overflow 16 bits on any processor.
        assert own.dtype == np.int8
        assert np.abs(own.astype(int)).max() <= 63


def test_training_starts_from_the_same_weights(
    model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    expected = load_model(model).network.state_dict()
    use_int8(model, images())
    caplog.clear()
    found = load_model(model).network.state_dict()
    assert not caplog.records  # of tensors that the network does not use
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_model_is_not_rounded_twice(model: Path) -> None:
    use_int8(model, images())
    before = model.read_bytes()
    with pytest.raises(InputError):
        use_int8(model, images())
    assert model.read_bytes() == before


def test_a_network_without_such_convolutions_is_left_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = exported(tmp_path / "model.onnx", widths=(8, 8, 8, 8))
    assert not dense_convolutions(onnx.load(str(model)).graph)
    before = model.read_bytes()
    try_int8(model, images())
    assert caplog.records
    assert model.read_bytes() == before


def test_no_image_is_an_error(model: Path) -> None:
    with pytest.raises(InputError):
        use_int8(model, ())


def test_maps_that_change_too_much_keep_floats(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = model.read_bytes()
    monkeypatch.setattr(int8_quantisation, "LARGEST_WEIGHT", 1)
    monkeypatch.setattr(int8_quantisation, "LARGEST_DIFFERENCE", 1e-4)
    with pytest.raises(ModelError):
        use_int8(model, images())
    assert model.read_bytes() == before

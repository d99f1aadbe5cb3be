"""Cellpose's networks compared with the library: the same outputs and loss, files both ways."""

from __future__ import annotations

import ssl
import sys
from importlib import import_module
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bigkingxxl.errors import InputError, MissingExtraError, ModelError, SettingsError
from bigkingxxl.inference.load_model import load_predictor
from bigkingxxl.methods.base import Batch
from bigkingxxl.methods.registry import make_method
from bigkingxxl.model_card import ModelCard
from bigkingxxl.model_files import load_model, save_model
from bigkingxxl.networks import cellpose as networks
from bigkingxxl.networks import cellpose_files
from bigkingxxl.networks.cellpose import MeanStyle, library_image, library_version
from bigkingxxl.networks.cellpose_files import named_file, read_cellpose
from bigkingxxl.training.export import export
from bigkingxxl.training.export_cellpose import export_cellpose
from bigkingxxl.training.import_cellpose import import_cellpose
from tests.refusals import refused
from tests.small_models import small_card, small_weights

LINE = (library_version() or "").partition(".")[0]
of_3 = pytest.mark.skipif(LINE != "3", reason="cellpose 3.1 is not installed")
of_4 = pytest.mark.skipif(LINE != "4", reason="cellpose 4 is not installed")


def unet(seed: int = 0) -> Any:
    """The library's network with random weights and statistics."""
    from cellpose.resnet_torch import CPnet

    torch.manual_seed(seed)
    network = CPnet([2, 32, 64, 128, 256], 3, 3)
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            statistics: Any = layer
            statistics.running_mean.uniform_(-0.2, 0.2)
            statistics.running_var.uniform_(0.5, 2)
    network.diam_labels.data[:] = 20.0
    return network.eval()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file as the library writes it; its name has no suffix."""
    path: Path = tmp_path_factory.mktemp("cellpose") / "mine"
    unet().save_model(str(path))
    return path


def in_library_order(logits: Tensor) -> Tensor:
    """Our maps in the library's form."""
    return torch.cat((5 * logits[:, 1:3], logits[:, :1]), dim=1)


class Says(torch.nn.Module):
    """A network that gives the same logits for any input."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, images: Tensor) -> Tensor:
        return self.logits


# ---- the network ---------------------------------------------------------------------------------


@of_3
def test_the_network_equals_that_of_the_library(file: Path, tmp_path: Path) -> None:
    from cellpose.core import _forward

    done = import_cellpose(str(file), tmp_path / "model.safetensors")
    assert done.counts["renamed"] == len(done.lines)
    ours = load_model(tmp_path / "model.safetensors")
    assert (ours.card.median_diameter, ours.card.prediction.scale) == (20, 1.5)
    image = np.random.default_rng(0).random((2, 1, 112, 96), np.float32)
    theirs = unet()
    expected, style = _forward(theirs, np.concatenate((image, np.zeros_like(image)), axis=1))
    with torch.inference_mode():
        found = in_library_order(ours.network(torch.from_numpy(2 * image)))
        features = theirs(torch.from_numpy(np.concatenate((image, 0 * image), axis=1)))[2][-1]
        own_style = MeanStyle()(features)
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)
    np.testing.assert_allclose(own_style.numpy(), style, atol=1e-6)


@of_3
def test_the_loss_is_the_librarys() -> None:
    from cellpose.train import _loss_fn_seg

    method = make_method("cellpose", {}, ("cell",))
    rng = np.random.default_rng(0)
    foreground = (rng.random((2, 1, 32, 32)) > 0.5).astype(np.float32)
    flows = rng.normal(size=(2, 2, 32, 32)).astype(np.float32) * foreground
    targets = np.concatenate((foreground, flows), axis=1)
    logits = torch.from_numpy(rng.normal(size=(2, 3, 32, 32)).astype(np.float32))
    network: Any = Says(logits)
    found = method.loss(network, Batch(torch.zeros(2, 1, 32, 32), torch.from_numpy(targets)))
    expected = _loss_fn_seg(targets, in_library_order(logits), torch.device("cpu"))
    assert found["loss"].item() == pytest.approx(expected.item(), rel=1e-6)


@of_3
def test_types_are_predicted_per_tile_and_start_uniform() -> None:
    method = make_method("cellpose", {"image_channels": 3}, ("a", "b"))
    network: Any = method.build().eval()
    image = torch.randn(2, 3, 32, 48)
    with torch.inference_mode():
        assert not network(image)[:, 3:].any()
        network.types.weight.normal_()
        votes = network(image)[:, 3:]
    assert votes.shape == (2, 2, 32, 48)
    assert (votes == votes[..., :1, :1]).all()
    assert (votes[0] != votes[1]).any()


def test_gray_images_leave_the_other_channels_blank() -> None:
    image = torch.randn(1, 1, 4, 4)
    seen = library_image(image, 3)
    assert torch.equal(seen[:, :1], image / 2)
    assert not seen[:, 1:].any()
    many = torch.randn(1, 4, 4, 4)
    assert torch.equal(library_image(many, 2)[:, :1], many.mean(dim=1, keepdim=True) / 2)


# ---- files ---------------------------------------------------------------------------------------


@of_3
def test_the_library_opens_exported_files(file: Path, tmp_path: Path) -> None:
    from cellpose.core import _forward
    from cellpose.models import CellposeModel

    model = tmp_path / "model.safetensors"
    import_cellpose(str(file), model)
    assert export_cellpose(model, tmp_path / "for_gui") == (30, 20)
    theirs = CellposeModel(pretrained_model=str(tmp_path / "for_gui"), mkldnn=False)
    assert (theirs.diam_mean, theirs.diam_labels) == (30, 20)
    export(model, tmp_path / "model.onnx")
    predictor: Any = load_predictor(tmp_path / "model.onnx")[0]
    image = np.random.default_rng(1).random((1, 1, 224, 224), np.float32)
    found = torch.from_numpy(predictor.maps_function(2 * image))
    expected, _ = _forward(theirs.net, np.concatenate((image, 0 * image), axis=1))
    flows = in_library_order(found).numpy()[:, :2]
    np.testing.assert_allclose(flows, expected[:, :2], atol=1e-4)
    chance = 1 / (1 + np.exp(-expected[:, 2]))
    np.testing.assert_allclose(found[:, 0].numpy(), chance, atol=1e-5)
    # The way back, and training from an exported graph.
    assert read_cellpose(str(tmp_path / "for_gui")).image_diameter == 20
    assert load_model(tmp_path / "model.onnx").card.method == "cellpose"


@of_3
def test_a_file_of_two_types_names_keeps_the_library_part(file: Path, tmp_path: Path) -> None:
    done = import_cellpose(str(file), tmp_path / "model.safetensors", types=("a", "b"))
    assert done.type_names == ("a", "b")
    assert done.counts["re-made"] == 2


@of_3
def test_old_files_without_sizes_or_counters_are_read(tmp_path: Path) -> None:
    weights = {
        f"module.{name}": tensor
        for name, tensor in unet().state_dict().items()
        if not name.startswith("diam") and tensor.ndim
    }
    torch.save(weights, tmp_path / "nucleitorch_0")
    import_cellpose(str(tmp_path / "nucleitorch_0"), tmp_path / "model.safetensors")
    card = load_model(tmp_path / "model.safetensors").card
    assert (card.median_diameter, card.prediction.scale) == (17, 1)


NO_NUMBERS = torch.full((3,), torch.nan)


class Bomb:
    def __reduce__(self) -> Any:
        return exec, ("raise SystemExit('code of a file was run')",)


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        (lambda state: {**state, "output.2.weight": Bomb()}, {}),
        (lambda state: {"output.2.weight": torch.zeros(3, 32, 1, 1)}, {}),
        (
            lambda state: {**state, "output.2.weight": torch.zeros(2, 32, 1, 1)},
            {"key": "output.2.weight"},
        ),
        (lambda state: {**state, "more": torch.zeros(1)}, {"key": "more"}),
        (
            lambda state: {**state, "output.2.bias": torch.full((3,), torch.nan)},
            {"key": "output.2.bias"},
        ),
        (lambda state: {"some.weight": torch.zeros(1)}, {}),
        (lambda state: {"encoder.cls_token": torch.zeros(1)}, {"found": "DINOv3"}),
    ],
)
@of_3
def test_a_wrong_file_is_refused(change: Any, fields: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "wrong"
    torch.save(change(dict(unet().state_dict())), path)
    with refused(ModelError, file=path, **fields):
        import_cellpose(str(path), tmp_path / "model.safetensors")
    assert not (tmp_path / "model.safetensors").exists()


@of_3
def test_only_cellposes_networks_become_its_files(tmp_path: Path) -> None:
    save_model(tmp_path / "other.safetensors", small_card(("a",)), small_weights(("a",)))
    with refused(
        InputError, file="other.safetensors", key="method", found="unetr", expected="cellpose"
    ):
        export_cellpose(tmp_path / "other.safetensors", tmp_path / "out")


# ---- names and what is missing -------------------------------------------------------------------


@of_3
def test_a_model_by_name_is_downloaded_by_the_library(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cellpose import models, utils

    def download(url: str, path: str, progress: bool = True) -> None:
        monkeypatch.setattr(ssl, "_create_default_https_context", None)
        Path(path).write_bytes(file.read_bytes())

    monkeypatch.setattr(models, "MODEL_DIR", tmp_path)
    monkeypatch.setattr(utils, "download_url_to_file", download)
    monkeypatch.setattr(cellpose_files, "is_reachable", lambda _: True)
    context = ssl._create_default_https_context
    assert named_file("nuclei") == tmp_path / "nucleitorch_0"
    assert read_cellpose("nuclei").network_diameter == 17
    assert ssl._create_default_https_context is context


@of_3
def test_a_failed_download_explains_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cellpose import models, utils

    def fail(*arguments: Any, **options: Any) -> None:
        raise OSError("no way out")

    monkeypatch.setattr(models, "MODEL_DIR", tmp_path)
    monkeypatch.setattr(utils, "download_url_to_file", fail)
    monkeypatch.setattr(cellpose_files, "is_reachable", lambda _: True)
    with refused(
        InputError, "https://", "--set settings.start=FILE", key="settings.start", found="nuclei"
    ):
        read_cellpose("nuclei")
    with refused(
        InputError,
        "'livecell_cp3'",
        key="settings.start",
        found="livecell",
        expected="livecell_cp3",
    ):
        read_cellpose("livecell")
    monkeypatch.setattr(cellpose_files, "is_reachable", lambda _: False)
    with refused(
        InputError, "https://", "--set settings.start=FILE", key="settings.start", found="nuclei"
    ):
        read_cellpose("nuclei")


def test_without_the_library_its_extra_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "version", missing)
    with refused(MissingExtraError, "[cellpose]", key="cellpose"):
        make_method("cellpose", {}, ("a",)).build()
    with refused(MissingExtraError, "[cellpose]", key="cellpose", found="nuclei"):
        read_cellpose("nuclei")


def missing(name: str) -> str:
    raise PackageNotFoundError(name)


@pytest.mark.parametrize(
    ("kind", "installed", "extra"),
    [
        ("unet", "4.2.1", "[cellpose]"),
        ("sam", "3.1.1", "[cellpose-sam]"),
    ],
)
def test_another_version_of_the_library_is_reported(
    kind: str, installed: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(networks, "version", lambda name: installed)
    with refused(MissingExtraError, extra, key="cellpose", found=installed, expected=kind):
        make_method("cellpose", {"network": kind}, ("a",)).build()


@pytest.mark.parametrize(
    ("settings", "types", "key", "fields"),
    [
        ({"representation_settings": {"boundary": True}}, ("a",), "boundary", {}),
        (
            {"representation_settings": {"dice_wait": 1}},
            ("a",),
            "dice_wait",
            {"did_you_mean": "dice_weight"},
        ),
        ({"network": "sam"}, ("a", "b"), "cell_types", {"found": 2}),
    ],
)
def test_settings_that_cannot_be(
    settings: Any, types: tuple[str, ...], key: str, fields: dict[str, Any]
) -> None:
    with refused(SettingsError, key=key, **fields):
        make_method("cellpose", settings, types)


# ---- the 4.x line --------------------------------------------------------------------------------


@pytest.fixture
def _small_sam(monkeypatch: pytest.MonkeyPatch) -> None:
    """SAM's image encoder, small enough for a test."""
    registry = import_module("segment_anything").sam_model_registry
    image_encoder = import_module("segment_anything.modeling").ImageEncoderViT

    def small(checkpoint: None) -> Any:
        encoder = image_encoder(embed_dim=32, depth=2, num_heads=2, use_rel_pos=True,
                                  global_attn_indexes=(0, 1))  # fmt: skip
        for block in encoder.blocks:
            # As large as the tokens of a tile of 256 pixels need.
            block.attn.rel_pos_h.data.normal_(std=0.1)
        return SimpleNamespace(image_encoder=encoder)

    monkeypatch.setitem(registry, "vit_l", small)


@of_4
@pytest.mark.usefixtures("_small_sam")
def test_cellpose_sam_equals_that_of_the_library(tmp_path: Path) -> None:
    torch.manual_seed(0)
    theirs: Any = networks._sam()
    type_of_library = type(theirs)
    torch.nn.init.normal_(theirs.out.weight)
    theirs = theirs.eval()
    torch.save(theirs.state_dict(), tmp_path / "cpsam")
    import_cellpose(str(tmp_path / "cpsam"), tmp_path / "model.safetensors")
    ours = load_model(tmp_path / "model.safetensors")
    assert type(ours.network.library) is type_of_library
    assert (ours.card.prediction.tile, ours.card.prediction.scale) == (256, 1)
    image = torch.rand(1, 1, 256, 256)
    with torch.inference_mode():
        expected = theirs(torch.cat((image, torch.zeros(1, 2, 256, 256)), dim=1))[0]
        found = in_library_order(ours.network(2 * image))
    assert expected.abs().max() > 0.1
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    predictor: Any = load_predictor(tmp_path / "model.safetensors", "cpu")[0]
    from bigkingxxl.images import ArrayImage

    pixels = np.random.default_rng(0).random((100, 300)).astype(np.float32)
    assert predictor.maps(ArrayImage(pixels)).shape == (3, 100, 300)
    with refused(InputError, file="model.safetensors", key="tile", found=256):
        export(tmp_path / "model.safetensors", tmp_path / "model.onnx")
    export_cellpose(tmp_path / "model.safetensors", tmp_path / "back")
    again = torch.load(tmp_path / "back", weights_only=True)
    assert set(again) == set(theirs.state_dict())


def test_cellpose_sam_only_predicts() -> None:
    method = make_method("cellpose", {"network": "sam"}, ("a",))
    with refused(InputError, key="settings.network", expected="unet"):
        method.initialise(torch.nn.Module())
    with refused(InputError, key="settings.network", expected="unet"):
        method.loss(torch.nn.Module(), Batch(torch.zeros(1, 1, 256, 256), None))


@of_3
def test_training_cannot_start_from_cellpose_sam(tmp_path: Path) -> None:
    torch.save({"W2": torch.zeros(1)}, tmp_path / "cpsam")
    method = make_method("cellpose", {"start": str(tmp_path / "cpsam")}, ("a",))
    with refused(InputError, file="cpsam", key="settings.start"):
        method.initialise(method.build())


def test_the_card_alone_needs_no_library() -> None:
    ModelCard(method="cellpose", settings={}, type_names=("a",))
    make_method("cellpose", {}, ("a", "b"))
    assert LINE or "cellpose" not in sys.modules

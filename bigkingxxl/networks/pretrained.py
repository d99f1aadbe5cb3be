"""Weights that a backbone starts training from: timm's own download, a package, or a file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn

from bigkingxxl.errors import InputError, ModelError, SettingsError
from bigkingxxl.networks.backbone import feature_options
from bigkingxxl.networks.encoders import packaged_weights
from bigkingxxl.reach import is_reachable, patience

WORDS = ("none", "hub", "packaged")
SEED = 3_141_592_653  # of weights that others are to replace
SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")


def load_backbone(body: nn.Module, name: str, image_channels: int, pretrained: str) -> None:
    """Give a backbone's features pretrained weights; timm adapts the first layer's channels.

    Args:
        body: timm's `features_only` network of `name`.
        pretrained: 'none', 'hub', 'packaged', or a file of timm's weights for `name`.
    Raises:
        SettingsError: neither one of these words nor a file's name.
        MissingExtraError: the package is not installed, or there is none.
        InputError: the download failed, or the weights do not fit.
        ModelError: the file is missing or damaged.
    """
    if pretrained == "none":
        return
    given: dict[str, Any] = {}
    if pretrained == "packaged":
        given["state_dict"] = packaged_weights(name)
    elif pretrained != "hub":
        given["state_dict"] = read_weights(pretrained)
    weights = _adapted(name, image_channels, given, pretrained)
    own = body.state_dict()
    # What a group norm has not, running statistics, is left; all that it has must be there.
    missing = [key for key in own if key not in weights or weights[key].shape != own[key].shape]
    missing = [key for key in missing if not key.endswith("num_batches_tracked")]
    if missing:
        raise InputError(
            f"the weights '{pretrained}' do not fit the backbone '{name}': '{missing[0]}' "
            "is missing or of another shape"
        )
    body.load_state_dict({key: weights.get(key, tensor) for key, tensor in own.items()})


def _adapted(
    name: str, image_channels: int, given: dict[str, Any], pretrained: str
) -> dict[str, Tensor]:
    """The weights under the names of timm's features, for images of some channels."""
    options = feature_options(name, image_channels)
    try:
        with nullcontext() if given else hub_or_what_is_kept():
            state = _timms(name, given, options)
        # timm leaves out in silence what a file has not. What would be the same from a file of
        # other values is none of the file's, be it random or a norm's ones and zeros.
        other = _timms(name, _changed(given), options) if given else {}
    except (OSError, RuntimeError, LookupError, ValueError, AttributeError) as error:
        reason = str(error).splitlines()[0]
        where = "could not be downloaded" if pretrained == "hub" else f"in {pretrained} do not fit"
        raise InputError(
            f"the weights of '{name}' {where} ({reason}): give a file of them instead, "
            "--set settings.pretrained=FILE, or start without, --set settings.pretrained=none"
        ) from error
    for key, tensor in other.items():
        if tensor.is_floating_point() and tensor.equal(state[key]):
            raise InputError(f"the weights '{pretrained}' do not fit '{name}': '{key}' is missing")
    return state


@contextmanager
def hub_or_what_is_kept() -> Iterator[None]:
    """Within the block, a hub that does not answer is not asked: what it sent before is taken."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE or is_reachable(constants.ENDPOINT):
        yield
        return
    constants.HF_HUB_OFFLINE = True
    try:
        with patience():
            yield
    except (OSError, RuntimeError, LookupError, ValueError) as error:
        raise OSError(f"{constants.ENDPOINT} cannot be reached") from error
    finally:
        constants.HF_HUB_OFFLINE = False


def _changed(given: dict[str, Any]) -> dict[str, Any]:
    """The same file with every value higher by one."""
    weights = given["state_dict"].items()
    return {
        "state_dict": {
            key: tensor.float() + 1 if tensor.is_floating_point() else tensor
            for key, tensor in weights
        }
    }


def _timms(name: str, given: dict[str, Any], options: dict[str, Any]) -> dict[str, Tensor]:
    """What timm makes of given weights, or of the hub's.

    The random rest is the same each time; nobody else's numbers change.
    """
    # timm works on the dictionary that it is given.
    overlay = {key: dict(weights) for key, weights in given.items()}
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(SEED)
        network: nn.Module = timm.create_model(
            name, pretrained=True, pretrained_cfg_overlay=overlay or None, **options
        )
    return network.state_dict()


def read_weights(file: str) -> dict[str, Tensor]:
    """`read_tensors` of what a setting names.

    Raises:
        SettingsError: no file's name; ModelError: as `read_tensors`.
    """
    path = Path(file)
    if path.suffix not in SUFFIXES:
        raise SettingsError(
            f"'{file}' names no weights, expected {', '.join(WORDS)} or a .safetensors or .pth file"
        )
    return read_tensors(path)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors file or of a torch one, read without running its code.

    Raises:
        ModelError: missing, damaged, or holding other objects.
    """
    if not path.is_file():
        raise ModelError(f"{path}: no such file of weights")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(str(path))
        stored: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the readers' errors share no base class
        # What torch says thereafter is advice to load it unsafely.
        reason = str(error).splitlines()[0].partition(" In PyTorch")[0].rstrip(".")
        raise ModelError(f"{path} holds no plain weights, or is damaged ({reason})") from error
    for key in ("state_dict", "model"):
        stored = stored.get(key, stored) if isinstance(stored, dict) else stored
    if not isinstance(stored, dict) or not all(
        isinstance(name, str) and isinstance(each, Tensor) for name, each in stored.items()
    ):
        raise ModelError(f"{path} holds no dictionary of tensors")
    return stored

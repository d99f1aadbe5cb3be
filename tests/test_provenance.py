"""The provenance of a result is recorded."""

from __future__ import annotations

import os
import sys
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigkingxxl import __version__
from bigkingxxl.provenance import device, fingerprint, provenance, versions


def test_provenance_names_versions_seed_and_command() -> None:
    found = provenance(seed=7)
    assert found["seed"] == 7
    assert found["versions"]["numpy"]
    assert set(found) == {"date", "command", "device", "versions", "seed"}
    assert versions()["python"].startswith("3.")
    assert versions().get("bigkingxxl", __version__) == __version__


def test_the_machine_includes_the_gpu_if_torch_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = SimpleNamespace(is_available=lambda: True, get_device_name=lambda: "A Card")
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    assert device().endswith(f"{os.cpu_count()} cores, A Card")
    monkeypatch.delitem(sys.modules, "torch")
    assert device().endswith("cores")
    assert "torch" not in sys.modules


@given(st.lists(st.text(max_size=4), max_size=4), st.lists(st.text(max_size=4), max_size=4))
def test_different_lists_have_different_fingerprints(first: list[str], second: list[str]) -> None:
    """Also ('ab', 'c') from ('a', 'bc')."""
    same = fingerprint(first) == fingerprint(second)
    assert same == (first == second)
    assert fingerprint(first) == fingerprint(part.encode() for part in first)

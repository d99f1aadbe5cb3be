"""How much memory is free: of the machine, and of a control group of either version."""

from __future__ import annotations

from pathlib import Path

import pytest

from bigkingxxl.memory import free_bytes

GB = 2**30
SECOND = ("memory.max", "memory.current", "memory.stat", "inactive_file")
FIRST = ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat",
         "total_inactive_file")  # fmt: skip


def machine(root: Path) -> None:
    (root / "proc").mkdir()
    (root / "proc" / "meminfo").write_text(f"MemTotal: {9 * GB} kB\nMemAvailable: {8 * 2**20} kB\n")


def group(root: Path, names: tuple[str, ...], limit: object, used: int, cached: int) -> None:
    folder = root / "sys" / "fs" / "cgroup"
    (folder / "memory").mkdir(parents=True)
    texts = (f"{limit}\n", f"{used}\n", f"anon 5\n{names[3]} {cached}\n")
    for name, text in zip(names, texts, strict=False):
        (folder / name).write_text(text)


def test_a_machine(tmp_path: Path) -> None:
    assert free_bytes(tmp_path) == 2**50
    machine(tmp_path)
    assert free_bytes(tmp_path) == 8 * GB
    assert 0 < free_bytes() <= 2**50


@pytest.mark.parametrize("names", [FIRST, SECOND])
@pytest.mark.parametrize(
    ("limit", "used", "cached", "expected"),
    [(4 * GB, GB, 0, 3 * GB), (4 * GB, 4 * GB, 3 * GB, 3 * GB), (40 * GB, GB, 0, 8 * GB),
     (GB, 2 * GB, 0, 0), ("max", GB, 0, 8 * GB)],
)  # fmt: skip
def test_a_control_group_whose_cached_files_count_as_free(
    tmp_path: Path, names: tuple[str, ...], limit: object, used: int, cached: int, expected: int
) -> None:
    machine(tmp_path)
    group(tmp_path, names, limit, used, cached)
    assert free_bytes(tmp_path) == expected

from __future__ import annotations

import subprocess
import sys

import pytest

# Page faults of 20 arrays of 64 MB, made and freed one after the other.
SCRIPT = """
import resource, sys
import numpy as np
from bigkingxxl.training.allocator import keep_freed_memory

def faults():
    np.ones(2**23)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        np.ones(2**23)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

if sys.argv[1] == "keep":
    with keep_freed_memory() as is_kept:
        assert is_kept
        print(faults())
else:
    if sys.argv[1] == "after":
        with keep_freed_memory():
            faults()
    print(faults())
"""


def faults(how: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, how], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only glibc is told")
def test_freed_memory_is_used_again() -> None:
    # Transparent huge pages make few faults of many, so the ratio counts.
    kept = faults("keep")
    assert kept * 5 < faults("leave")
    assert kept * 5 < faults("after"), "only within the block"

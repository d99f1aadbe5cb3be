from __future__ import annotations

import subprocess
import sys

import pytest

# Page faults of 20 arrays of 64 MB, made and freed one after the other.
SCRIPT = """
import resource, sys
import numpy as np
from bigkingxxl.training.memory import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
np.ones(2**23)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    np.ones(2**23)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, how], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only glibc is told")
def test_freed_memory_is_used_again() -> None:
    # Transparent huge pages make few faults of many, so the ratio counts.
    assert faults("keep") * 5 < faults("leave")

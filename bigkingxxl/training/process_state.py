"""The process-wide state that a training changes and restores."""

from __future__ import annotations

import logging
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager

import lightning as L
import numpy as np
import torch

SEEDS = ("PL_GLOBAL_SEED", "PL_SEED_WORKERS")  # set by Lightning for processes that it starts
LOGGER = "lightning.pytorch"


@contextmanager
def training_state(seed: int) -> Iterator[None]:
    """Within the block, random numbers start at a seed and Lightning logs warnings only.

    Afterwards the random generators, the environment variables and the logger are as before.
    """
    log = logging.getLogger(LOGGER)
    level = log.level
    variables = {name: os.environ.get(name) for name in SEEDS}
    own, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 - what Lightning seeds
    devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
    with torch.random.fork_rng(devices=devices):
        try:
            log.setLevel(logging.WARNING)
            L.seed_everything(seed, verbose=False)
            yield
        finally:
            log.setLevel(level)
            random.setstate(own)
            np.random.set_state(numpy)  # noqa: NPY002
            for name, value in variables.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value

"""The measure behind the study `simulator_spectrum`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.studies.simulator_spectrum import EDGES, decibels, measure, radial_spectrum
from bigkingxxl.errors import InputError
from tests.refusals import refused


@pytest.mark.parametrize("frequency", [0.045, 0.155, 0.275])
def test_a_wave_falls_into_its_own_ring(frequency: float) -> None:
    cols = np.arange(256)[None, :]
    wave = 128 + 60 * np.sin(2 * np.pi * frequency * cols) + np.zeros((200, 1))
    ring = int(radial_spectrum(np.rint(wave).astype(np.uint8)).argmax())
    assert EDGES[ring] <= frequency <= EDGES[ring + 1]


def test_white_noise_has_its_variance_in_every_ring() -> None:
    noise = np.random.default_rng(0).normal(128, 10, (512, 512))
    level = radial_spectrum(np.clip(np.rint(noise), 0, 255).astype(np.uint8))
    np.testing.assert_allclose(level, 100, rtol=0.3)


def test_decibels() -> None:
    assert decibels(np.array([2.0, 1.0, 0.1]), np.ones(3)) == [3.01, 0.0, -10.0]


def test_missing_data_raise_an_error(tmp_path: Path) -> None:
    with refused(InputError, "train.csv"):
        measure(tmp_path, images=1, seed=0)

"""The phase-contrast optics, compared with the theory of a weak phase object."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from bigkingxxl.simulate.optics import PhaseContrast, intensity

SHARP = PhaseContrast(halo=3.0, transmission=0.6, cutoff=10.0, defocus=0.0)


def disc(radius: float, phase: float) -> NDArray[np.float32]:
    rows, cols = np.mgrid[-48:49, -48:49]
    return np.asarray(np.where(np.hypot(rows, cols) < radius, phase, 0.0), dtype=np.float32)


def test_an_empty_field_is_even() -> None:
    np.testing.assert_allclose(intensity(np.zeros((40, 50), np.float32), SHARP), 1.0, atol=1e-5)


def test_a_plain_shift_of_phase_is_invisible() -> None:
    np.testing.assert_allclose(intensity(np.full((40, 50), 0.8, np.float32), SHARP), 1.0, atol=1e-4)


def test_a_weak_object_follows_the_linear_model() -> None:
    # I = 1 - 2 (phi - surround * phi) / a to first order in phi (Zernike 1942, Yin et al. 2012).
    phase = np.asarray(ndimage.gaussian_filter(disc(12.0, 0.01), 1.0), dtype=np.float32)
    surround = ndimage.gaussian_filter(phase.astype(float), SHARP.halo, truncate=8)
    expected = 1.0 - 2.0 * (phase - surround) / SHARP.transmission
    np.testing.assert_allclose(intensity(phase, SHARP), expected, atol=6e-4)


def test_halo_outside_and_shade_off_inside() -> None:
    seen = intensity(disc(16.0, 0.2), SHARP)[48]
    edge_inside, centre, edge_outside, far = seen[48 + 14], seen[48], seen[48 + 17], seen[48 + 40]
    assert edge_inside < centre <= 1.005
    assert edge_outside > 1.05
    assert far == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("defocus", [-4.0, 4.0])
def test_defocus_changes_the_edge_by_its_sign(defocus: float) -> None:
    blurred = PhaseContrast(SHARP.halo, SHARP.transmission, SHARP.cutoff, defocus)
    mirror = PhaseContrast(SHARP.halo, SHARP.transmission, SHARP.cutoff, -defocus)
    phase = disc(10.0, 0.3)
    assert np.abs(intensity(phase, blurred) - intensity(phase, SHARP)).max() > 0.02
    assert np.abs(intensity(phase, blurred) - intensity(phase, mirror)).max() > 0.02

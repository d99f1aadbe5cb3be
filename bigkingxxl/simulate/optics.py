"""Phase-contrast optics: from phase to intensity, with Zernike's phase plate in Fourier space.

A specimen of phase phi transmits the wave exp(i phi). The phase plate shifts what it treats as
direct light by a quarter wave and dims it. A real plate has a width and also catches light that
large structures scatter by small angles; this causes the bright halo around a cell and the
shade-off inside it. After the plate

    U = pupil * { exp(i phi) + (a exp(-i pi / 2) - 1) (surround * exp(i phi)) },   I = |U|^2 / a^2

where `surround` is the point spread function of the plate. Sources: F. Zernike, "Phase contrast, a
new method for the microscopic observation of transparent objects", Physica 9 (1942); Z. Yin, T.
Kanade, M. Chen, "Understanding the phase contrast optics to restore artifact-free microscopy images
for segmentation", Medical Image Analysis 16 (2012). Here the surround is a Gaussian instead of
their ring of Airy patterns, and no term is dropped: thick debris must saturate and turn bright
inside.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import fft

from bigkingxxl.simulate.randomness import FloatMap

PADDING = 24


@dataclass(frozen=True)
class PhaseContrast:
    """The parameters of the microscope.

    Attributes:
        halo: The extent of the halo in pixels (standard deviation of the Gaussian surround).
        transmission: a, the amplitude of direct light after the plate.
        cutoff: The frequency, in cycles per pixel, at which the soft pupil transmits half.
        defocus: In squared pixels (wavelength x distance in these units), of either sign.
    """

    halo: float
    transmission: float
    cutoff: float
    defocus: float


def intensity(phase: FloatMap, optics: PhaseContrast) -> FloatMap:
    """Compute the image float32[H, W] of a phase map float32[H, W] in radians; 1 is the background.

    In positive phase contrast, structures that are optically thicker than their surroundings are
    dark.
    """
    size = phase.shape
    padded = _padded(phase)
    wave = fft.fft2(np.exp(1j * padded).astype(np.complex64))
    wave *= transfer_function(padded.shape, optics)
    seen = fft.ifft2(wave)
    power = (seen.real**2 + seen.imag**2) / np.float32(optics.transmission) ** 2
    return np.asarray(
        power[PADDING : PADDING + size[0], PADDING : PADDING + size[1]], dtype=np.float32
    )


def transfer_function(size: tuple[int, ...], optics: PhaseContrast) -> np.ndarray:
    """Return the amplitude transfer function, complex64[H, W] in the order of `numpy.fft`."""
    rows = fft.fftfreq(size[0])[:, None].astype(np.float32)
    cols = fft.fftfreq(size[1])[None, :].astype(np.float32)
    squared = rows**2 + cols**2
    surround = np.exp(-2 * np.pi**2 * optics.halo**2 * squared)
    plate = 1.0 + (optics.transmission * np.exp(-0.5j * np.pi) - 1.0) * surround
    # A sharp pupil would cause ringing; partial coherence makes the real edge soft.
    pupil = 1.0 / (1.0 + (squared / optics.cutoff**2) ** 3)
    return np.asarray(plate * pupil * np.exp(1j * np.pi * optics.defocus * squared), np.complex64)


def _padded(phase: FloatMap) -> FloatMap:
    """Mirror the borders, so that the halo of the opposite side does not wrap around."""
    rows, cols = (fft.next_fast_len(length + 2 * PADDING) for length in phase.shape)
    after = (rows - phase.shape[0] - PADDING, cols - phase.shape[1] - PADDING)
    return np.pad(phase, ((PADDING, after[0]), (PADDING, after[1])), mode="symmetric")

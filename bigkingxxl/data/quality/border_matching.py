"""Find adjacent images by comparing the predicted continuation of one border with another border.

For each frequency along the border, a linear predictor (a Wiener filter) of the next column from
the last eight is fitted inside the images, where the answer is known. Its prediction beyond each
border is correlated with all borders, and every frequency is weighted by its predictability. One
matrix product compares all images with all.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Complex64 = NDArray[np.complex64]

DEPTH = 8  # columns that predict the next one
SHORTEST_SIDE = 8 * DEPTH
INSIDE = 12  # columns inside each image to which the predictor is fitted
SLOWEST = 3  # lower frequencies along the border come from the lamp, not from cells
LIMIT = 2.5  # standard deviations, so that a bright piece of debris does not decide
# The least correlation of a match, and its least size in standard deviations of chance:
# tests/data/quality/test_field_matching.py holds them against the fields of the challenge
# (fields.csv) and against images that have nothing in common.
LEAST_SCORE, LEAST_DEVIATIONS = 0.25, 6.5
COMMON_FROM = 10  # with fewer images, the mean is not what all have in common


class BorderMatcher:
    """Finds pairs of images of one size, the second of which continues the first on the right."""

    def __init__(self) -> None:
        self._rightwards, self._leftwards = _Continuation(), _Continuation()

    def add(self, image: Float32) -> None:
        """Add an image, float32[H, W] with sides of at least `SHORTEST_SIDE`."""
        self._rightwards.add(image)
        self._leftwards.add(image[:, ::-1])

    def scores(self) -> Float32:
        """Return how well image j continues image i on the right, as correlation float32[N, N]."""
        return self._compare()[0]

    def pairs(self) -> list[tuple[int, int]]:
        """Return the pairs (left image, right image) of adjacent images."""
        scores, chance = self._compare()
        # The chance level, both in theory and as estimated from the many unrelated pairs.
        shown = 1.4826 * float(np.median(np.abs(scores - np.median(scores))))
        found = np.argwhere(scores > max(LEAST_SCORE, LEAST_DEVIATIONS * max(chance, shown)))
        return [(int(left), int(right)) for left, right in found]

    def _compare(self) -> tuple[Float32, float]:
        """Return the scores and the standard deviation of a score by chance."""
        rightwards, first = self._rightwards.scores()
        leftwards, second = self._leftwards.scores()
        scores: Float32 = (rightwards + leftwards.T) / np.float32(2)
        np.fill_diagonal(scores, 0)
        return scores, max(first, second)


class _Continuation:
    """Predicts the column after each image and compares it with all first columns."""

    def __init__(self) -> None:
        self.length = 0
        self.first: list[Complex64] = []
        self.last: list[Complex64] = []
        self.before_before: Any = 0
        self.before_next: Any = 0
        self.next_next: Any = 0

    def add(self, image: Float32) -> None:
        """Store the spectra of the image's borders and fit the predictor to its interior."""
        self.length, width = image.shape
        image = (image - image.mean()) / (float(image.std()) or 1.0)
        columns = np.linspace(DEPTH, width - 1, INSIDE).astype(int)
        inside = _spectra(image[:, columns[:, None] - np.arange(DEPTH + 1)])
        following, before = inside[..., 0], inside[..., 1:]
        conjugate = before.conj()
        self.before_before += conjugate.transpose(0, 2, 1) @ before
        self.before_next += (conjugate * following[..., None]).sum(axis=1)
        self.next_next += (np.abs(following) ** 2).sum(axis=1)
        self.first.append(_spectra(image[:, 0]))
        self.last.append(_spectra(image[:, : -DEPTH - 1 : -1]))

    def scores(self) -> tuple[Float32, float]:
        """Return the correlation of the continuation of image i with the start of image j.

        The second value is the standard deviation of the correlation of two unrelated borders: 1 /
        sqrt of the number of independent values, which is less than their length if few frequencies
        count.
        """
        weights, gain, whitening = self._predictor()
        predicted = np.einsum("nkd,kd->nk", np.stack(self.last), weights)
        profiles = (
            self._profiles(predicted * gain * whitening[0]),
            self._profiles(np.stack(self.first) * gain * whitening[1]),
        )
        scores: Float32 = profiles[0] @ profiles[1].T
        independent = 2 * (gain**2).sum() ** 2 / max(float((gain**4).sum()), 1e-12)
        return scores, 1 / max(float(independent), 1.0) ** 0.5

    def _predictor(self) -> tuple[Any, Any, tuple[Any, Any]]:
        """Return weights [K, DEPTH], gain [K] and the whitening of prediction and border, [K] each.

        The gain is that of the optimal matched filter, coherence / (1 - coherence^2), split between
        the two.
        """
        trace = np.trace(self.before_before, axis1=1, axis2=2).real[:, None, None]
        ridge = (1e-3 * trace / DEPTH + 1e-6) * np.eye(DEPTH)
        weights = np.linalg.solve(self.before_before + ridge, self.before_next[..., None])[..., 0]
        power = np.einsum("kd,kde,ke->k", weights.conj(), self.before_before, weights).real
        cross = (weights.conj() * self.before_next).sum(axis=1).real
        power, known = np.maximum(power, 1e-9), np.maximum(self.next_next, 1e-9)
        coherence = np.clip(cross / np.sqrt(power * known), 0, 0.99)
        gain = np.sqrt(coherence / (1 - coherence**2))
        gain[:SLOWEST] = 0
        return weights, gain, (1 / np.sqrt(power), 1 / np.sqrt(known))

    def _profiles(self, spectra: Any) -> Float32:
        """Transform spectra to standardised profiles along the border, float32[N, L]."""
        if len(spectra) >= COMMON_FROM:
            spectra = spectra - spectra.mean(axis=0)
        profiles = np.fft.irfft(spectra, n=self.length, axis=1)
        limit = LIMIT * profiles.std(axis=1, keepdims=True)
        profiles = np.clip(profiles, -limit, limit)
        profiles -= profiles.mean(axis=1, keepdims=True)
        norm = np.linalg.norm(profiles, axis=1, keepdims=True)
        result: Float32 = (profiles / np.maximum(norm, 1e-12)).astype(np.float32)
        return result


def _spectra(columns: Float32) -> Complex64:
    """Compute frequencies along the first axis, complex64[K, ...]."""
    return np.fft.rfft(columns, axis=0).astype(np.complex64)

"""Do two images touch? Compares what should follow one image's border with another's border.

From the inside of all images, where the answer is known, a linear predictor of the next column
from the last eight is fitted for each frequency along the border (a Wiener filter). What it
predicts beyond each border is correlated with the borders there are, every frequency weighted by
how well it can be predicted: one matrix product compares all images with all.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Complex64 = NDArray[np.complex64]

DEPTH = 8  # columns that predict the next one
SHORTEST_SIDE = 8 * DEPTH
INSIDE = 12  # columns inside each image that the predictor is fitted on
SLOWEST = 3  # lower frequencies along the border are the lamp's, not the cells'
LIMIT = 2.5  # standard deviations: one bright piece of debris must not decide
LEAST_SCORE, LEAST_DEVIATIONS = 0.25, 6.5
COMMON_FROM = 10  # images; of fewer, the mean is not what all have in common


class BorderMatcher:
    """Images of one size that may lie side by side, the second to the right of the first."""

    def __init__(self) -> None:
        self._rightwards, self._leftwards = _Continuation(), _Continuation()

    def add(self, image: Float32) -> None:
        """Look at one image, float32[H, W] with sides of at least `SHORTEST_SIDE`."""
        self._rightwards.add(image)
        self._leftwards.add(image[:, ::-1])

    def scores(self) -> Float32:
        """float32[N, N]: correlation, how well image j goes on to the right of image i."""
        return self._compare()[0]

    def pairs(self) -> list[tuple[int, int]]:
        """(left image, right image) of every border that runs on."""
        scores, chance = self._compare()
        # Chance as theory has it, and as most pairs of many images show it.
        shown = 1.4826 * float(np.median(np.abs(scores - np.median(scores))))
        found = np.argwhere(scores > max(LEAST_SCORE, LEAST_DEVIATIONS * max(chance, shown)))
        return [(int(left), int(right)) for left, right in found]

    def _compare(self) -> tuple[Float32, float]:
        """Scores, and the standard deviation of a score by chance."""
        rightwards, first = self._rightwards.scores()
        leftwards, second = self._leftwards.scores()
        scores: Float32 = (rightwards + leftwards.T) / np.float32(2)
        np.fill_diagonal(scores, 0)
        return scores, max(first, second)


class _Continuation:
    """Predicts the column after each image's last and compares it with all first columns."""

    def __init__(self) -> None:
        self.length = 0
        self.first: list[Complex64] = []
        self.last: list[Complex64] = []
        self.before_before: Any = 0
        self.before_next: Any = 0
        self.next_next: Any = 0

    def add(self, image: Float32) -> None:
        """Keep the spectra of the image's borders and learn from its inside."""
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
        """float32[N, N]: correlation of what follows image i with where image j begins.

        Beside it the standard deviation of the correlation of two borders by chance: 1 / sqrt of
        how many independent values they have, which is less than their length where few
        frequencies count.
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
        """Weights [K, DEPTH], gain [K], and what whitens prediction and border, each [K].

        The gain is the optimal one of a matched filter, coherence / (1 - coherence^2), shared out
        between the two.
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
        """float32[N, L]: spectra back along the border, clipped, of mean 0 and length 1."""
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
    """complex64[K, ...]: frequencies along the first axis."""
    return np.fft.rfft(columns, axis=0).astype(np.complex64)

"""Ensembles, and what a predictor is."""

from __future__ import annotations

import numpy as np
import pytest

from bigkingxxl.candidates import Candidates
from bigkingxxl.errors import InputError
from bigkingxxl.images import ArrayImage, ImageSource
from bigkingxxl.inference.ensemble import Ensemble
from bigkingxxl.inference.predictor import Predictor
from bigkingxxl.inference.selection import select
from bigkingxxl.operating_points import OperatingPoints

IMAGE = ArrayImage(np.zeros((40, 60)))


class Fixed:
    """Sees one square, whatever the image."""

    def __init__(self, row: int, score: float, names: tuple[str, ...] = ("a", "b")) -> None:
        types = np.array([[0.3, 0.7]]) if names else None
        self.found = Candidates.from_crops(
            (40, 60), np.array([(row, 5, row + 8, 15)]), [np.full((8, 10), 255, np.uint8)],
            np.array([score]), types, names,
        )  # fmt: skip

    def candidates(self, source: ImageSource) -> Candidates:
        assert source.shape == self.found.size
        return self.found


def test_an_ensemble_is_a_predictor_and_sees_what_any_sees() -> None:
    both = Ensemble([Fixed(0, 0.6), Fixed(20, 0.7), Fixed(1, 0.8)])
    assert isinstance(both, Predictor)
    found = both.candidates(IMAGE)
    assert found.boxes[:, 0].tolist() == [0, 20, 1]
    cells = select(found, OperatingPoints())
    np.testing.assert_allclose(np.asarray(cells.score), [0.8, 0.7])


def test_models_of_other_types_cannot_be_joined() -> None:
    with pytest.raises(InputError, match=r"different cell types .*\(a, b and none\)|\(none and"):
        Ensemble([Fixed(0, 0.6), Fixed(0, 0.6, ())]).candidates(IMAGE)


def test_an_ensemble_of_nothing() -> None:
    with pytest.raises(InputError, match="at least one model"):
        Ensemble([])

"""What the members of an ensemble see, kept, so that weights are tried without running them again.

The members stand where the models themselves would, so that they are joined by the very code that
predicts.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path

import numpy as np

from bigkingxxl.candidates import Candidates
from bigkingxxl.files import whole_file
from bigkingxxl.images import ImageSource
from bigkingxxl.inference.dense import DensePredictor, Float32
from bigkingxxl.inference.mean_maps import settings_of
from bigkingxxl.inference.network import MeasuredSize
from bigkingxxl.inference.predictor import Predictor
from bigkingxxl.inference.view import View
from bigkingxxl.provenance import fingerprint


@dataclass(eq=False)
class StoredMaps(DensePredictor):
    """A dense model whose maps of images are kept, float16 on disk, by the images' names.

    Args:
        model: makes the maps; folder: for them, this model's own.
    """

    _: KW_ONLY
    model: DensePredictor
    folder: Path
    sizes: dict[str, MeasuredSize | None] = field(default_factory=dict)

    @classmethod
    def of(cls, model: DensePredictor, folder: Path) -> StoredMaps:
        """A model with a memory."""
        found = cls(**settings_of(model), model=model, folder=folder)
        found.type_names = model.type_names
        return found

    def maps_on(
        self, view: View, grid: tuple[int, int], ratio: float, zoom: float = 1.0
    ) -> Float32:
        """See `DensePredictor.maps_on`; rounded to half precision."""
        place = (view.size, view.window, view.origin, grid, ratio, zoom)
        path = self.folder / f"{fingerprint([view.source.name, repr(place)])}.npy"
        if not path.is_file():
            found = self.model.maps_on(view, grid, ratio, zoom)
            with whole_file(path) as temporary, temporary.open("wb") as stream:
                np.save(stream, found.astype(np.float16))
        return np.asarray(np.load(path, allow_pickle=False), np.float32)

    def measured_size(self, source: ImageSource) -> MeasuredSize | None:
        """See `NetworkPredictor.measured_size`."""
        if source.name not in self.sizes:
            self.sizes[source.name] = self.model.measured_size(source)
        return self.sizes[source.name]


@dataclass(eq=False)
class StoredCandidates:
    """A model whose candidates of images are kept on disk, by the images' names.

    Args:
        model: finds them; folder: for them, this model's own.
    """

    model: Predictor
    folder: Path

    def candidates(self, source: ImageSource) -> Candidates:
        """See `Predictor.candidates`."""
        path = self.folder / f"{fingerprint([source.name])}.npz"
        if not path.is_file():
            self.model.candidates(source).save(path)
        return Candidates.load(path)


def stored(model: Predictor, folder: Path) -> Predictor:
    """A model with a memory: of its maps where it makes any, else of its candidates."""
    if isinstance(model, DensePredictor):
        return StoredMaps.of(model, folder)
    return StoredCandidates(model, folder)

"""Cached predictions of an ensemble's members, for trying weights without running them again.

The cached members replace the models, so that they are combined by the code of prediction.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path

import numpy as np

from bigkingxxl.candidates import Candidates
from bigkingxxl.files import whole_file
from bigkingxxl.images import ImageSource
from bigkingxxl.inference.dense_predictor import DensePredictor, Float32
from bigkingxxl.inference.image_region import ImageRegion
from bigkingxxl.inference.mean_maps import settings_of
from bigkingxxl.inference.network_predictor import MeasuredSize
from bigkingxxl.inference.predictor import Predictor
from bigkingxxl.provenance import fingerprint


@dataclass(eq=False)
class StoredMaps(DensePredictor):
    """A dense model whose maps are cached on disk as float16, by the name of the image.

    Args:
        model: Computes the maps.
        folder: The cache, for this model only.
    """

    _: KW_ONLY
    model: DensePredictor
    folder: Path
    sizes: dict[str, MeasuredSize | None] = field(default_factory=dict)

    @classmethod
    def of(cls, model: DensePredictor, folder: Path) -> StoredMaps:
        """Wrap a model with a cache."""
        found = cls(**settings_of(model), model=model, folder=folder)
        found.type_names = model.type_names
        return found

    def maps_on(
        self, view: ImageRegion, grid: tuple[int, int], ratio: float, zoom: float = 1.0
    ) -> Float32:
        """Return maps, rounded to half precision; see `DensePredictor.maps_on`."""
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
    """A model whose candidates are cached on disk, by the name of the image.

    Args:
        model: Computes the candidates.
        folder: The cache, for this model only.
    """

    model: Predictor
    folder: Path

    def candidates(self, source: ImageSource) -> Candidates:
        """Return candidates; see `Predictor.candidates`."""
        path = self.folder / f"{fingerprint([source.name])}.npz"
        if not path.is_file():
            self.model.candidates(source).save(path)
        return Candidates.load(path)


def stored(model: Predictor, folder: Path) -> Predictor:
    """Cache the maps of a model if it has any, else its candidates."""
    if isinstance(model, DensePredictor):
        return StoredMaps.of(model, folder)
    return StoredCandidates(model, folder)

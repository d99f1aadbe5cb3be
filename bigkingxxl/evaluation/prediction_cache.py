"""A cache of predictions, for trying parameters without running the network again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.candidates import Candidates
from bigkingxxl.files import whole_file
from bigkingxxl.images import ImageSource
from bigkingxxl.inference.dense_predictor import DensePredictor
from bigkingxxl.inference.network_predictor import NetworkPredictor
from bigkingxxl.inference.predictor import Predictor
from bigkingxxl.operating_points import ZOOM
from bigkingxxl.test_time_augmentation import as_text

OpenSource = Callable[[str], ImageSource]
Parameters = Mapping[str, Any]


class PredictionCache(Protocol):
    """The candidates of images with any decoding parameters.

    Attributes:
        decode_grid: The decoding parameters that may be tuned, with the values to try.
        decode_defaults: The values of parameters that are not given.
        zooms: The enlargements of images that may be tried; the network runs once for each.
    """

    decode_grid: Mapping[str, Sequence[Any]]
    decode_defaults: Parameters
    zooms: Sequence[float]

    def source(self, image_id: str) -> ImageSource:
        """Open an image."""
        ...

    def predict(self, image_id: str) -> None:
        """Run the model on an image unless its result is cached."""
        ...

    def decode(self, image_id: str, parameters: Parameters) -> Candidates:
        """Return the candidates of an image in its own frame."""
        ...

    def voted_type(self, image_id: str) -> str | None:
        """Return the type whose decoding parameters prediction would use; None for the default."""
        ...


class MapCache:
    """The maps of a dense model as float16 on disk, one `.npy` file per image.

    Args:
        predictor: The model.
        source: Opens an image by its id.
        folder: The folder of the maps. Existing files are used, so the folder must belong to this
            model; see `maps_folder`.
    """

    def __init__(self, predictor: DensePredictor, source: OpenSource, folder: Path) -> None:
        self.predictor, self.source, self.folder = predictor, source, folder
        self.decode_grid: Mapping[str, Sequence[Any]] = predictor.representation.decode_grid
        own = predictor.representation.parameters(None).model_dump()
        self.decode_defaults: Parameters = {**own, ZOOM: 1.0}
        self.zooms: Sequence[float] = predictor.zooms

    def predict(self, image_id: str) -> None:
        """See `PredictionCache.predict`."""
        self.path_of(image_id)

    def path_of(self, image_id: str, zoom: float = 1.0) -> Path:
        """Return the file of an image's maps, which are computed if needed."""
        path = self.folder / (f"{image_id}.npy" if zoom == 1 else f"{image_id}-zoom{zoom:g}.npy")
        if not path.is_file():
            source = self.source(image_id)
            blank = source.statistics.is_blank
            channels = len(self.predictor.representation.channels)
            found = np.zeros((channels, 0, 0)) if blank else self.predictor.maps(source, zoom=zoom)
            with whole_file(path) as temporary, temporary.open("wb") as stream:
                np.save(stream, found.astype(np.float16))
        return path

    def maps(self, image_id: str, zoom: float = 1.0) -> NDArray[np.float32]:
        """Return the maps in half precision, float32[K, h, w]; h = 0 for a blank image."""
        stored: NDArray[np.float16] = np.load(self.path_of(image_id, zoom), allow_pickle=False)
        return stored.astype(np.float32)

    def decode(self, image_id: str, parameters: Parameters) -> Candidates:
        """See `PredictionCache.decode`."""
        source = self.source(image_id)
        maps = self.maps(image_id, self.predictor.zoom(source, parameters))
        if maps.size == 0:
            return Candidates.empty(source.shape, self.predictor.representation.type_names)
        ratio = self.predictor.scale_ratio(source)
        return self.predictor.decode(maps, source.shape, ratio, parameters)

    def voted_type(self, image_id: str) -> str | None:
        """Return the type that the maps vote for, as in `DensePredictor`."""
        maps, representation = self.maps(image_id), self.predictor.representation
        if len(representation.type_names) == 1:
            return representation.type_names[0]
        weights = representation.type_weights(maps) if maps.size else None
        return None if weights is None else representation.type_names[int(weights.argmax())]


class CandidateCache:
    """The candidates of a predictor on disk, one `.npz` file per image.

    Args:
        predictor: See `MapCache`.
        source: See `MapCache`.
        folder: See `MapCache`.
    """

    def __init__(self, predictor: Predictor, source: OpenSource, folder: Path) -> None:
        self.predictor, self.source, self.folder = predictor, source, folder
        self.decode_grid: Mapping[str, Sequence[Any]] = {}
        self.decode_defaults: Parameters = {}
        self.zooms: Sequence[float] = ()

    def predict(self, image_id: str) -> None:
        """See `PredictionCache.predict`."""
        self.path_of(image_id)

    def path_of(self, image_id: str) -> Path:
        """Return the file of an image's candidates, which are computed if needed."""
        path = self.folder / f"{image_id}.npz"
        if not path.is_file():
            self.predictor.candidates(self.source(image_id)).save(path)
        return path

    def decode(self, image_id: str, parameters: Parameters) -> Candidates:  # noqa: ARG002 (it has none)
        """See `PredictionCache.decode`."""
        return Candidates.load(self.path_of(image_id))

    def voted_type(self, image_id: str) -> str | None:  # noqa: ARG002 (nothing to decide)
        """See `PredictionCache.voted_type`."""
        return None


def prediction_cache(
    predictor: Predictor, source: OpenSource, folder: Path
) -> MapCache | CandidateCache:
    """Cache the maps of a predictor if it has any, else its candidates."""
    if isinstance(predictor, DensePredictor):
        return MapCache(predictor, source, folder)
    return CandidateCache(predictor, source, folder)


def maps_folder(folder: Path, name: str, predictor: Predictor) -> Path:
    """Return a folder for a model and its prediction settings.

    Args:
        folder: The parent folder.
        name: The name of the model; see `model_files.untuned_hash`.
        predictor: The model.
    """
    if not isinstance(predictor, NetworkPredictor):
        return folder / name
    how = predictor.settings
    scale = how.scale if predictor.scale is None else predictor.scale
    name_of_settings = f"scale{scale:g}-tta{as_text(how.tta)}-tile{how.tile}-{how.overlap}"
    if isinstance(predictor, DensePredictor):
        return folder / f"{name}-{name_of_settings}-decode{how.decode_scale:g}"
    # Candidates are stored at the estimated scale, and maps at the known one.
    return folder / f"{name}-{name_of_settings}{'-estimate' if predictor.estimate else ''}"

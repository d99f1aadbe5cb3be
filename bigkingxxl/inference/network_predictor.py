"""The base class of all network predictors: it determines the scale at which an image is read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from bigkingxxl.calibration import Calibration
from bigkingxxl.candidates import Candidates
from bigkingxxl.errors import ImageError
from bigkingxxl.geometry import Window, multiple
from bigkingxxl.images import ImageSource, Normalisation
from bigkingxxl.inference.domain.contrast_polarity import Negative, is_inverted, may_be_inverted
from bigkingxxl.inference.domain.image_statistics import image_statistics
from bigkingxxl.inference.predictor import ImageContext
from bigkingxxl.inference.size.scale_ratio import (
    SCALES,
    TrainingImages,
    check_scale,
    check_size,
    known_size,
)
from bigkingxxl.inference.size.size_estimate import (
    estimate_size,
    is_plausible,
    sizes_in_question,
)
from bigkingxxl.model_card import PredictionSettings

BLOCK_PIXELS = 2**24  # 2048 x 2048 pixels at twice the size


@dataclass(frozen=True)
class MeasuredSize:
    """The measured size of the median cell of an image, in its pixels.

    Attributes:
        diameter: The diameter of a disc of the same area.
        width: The size that training used to bring images to one scale (see
            `bigkingxxl.cell_widths`); equal to the diameter for models without a width.
    """

    diameter: float
    width: float


@dataclass(kw_only=True, eq=False)
class NetworkPredictor(ABC):
    """A trained network as a `Predictor`; normalisation and scale are fixed for the whole image.

    Args:
        stride: The sides of a tile are multiples of it.
        scale: Network pixels per image pixel. None uses the scale of the settings for images whose
            cells are as large as in training, and adjusts it for images that are known to differ.
        training: The properties of the training images; by default unknown.
        calibration: Calibrates the scores of candidates; None leaves them unchanged.
        image_channels: The number of channels that the network expects; None does not check.
        block_pixels: The number of network pixels of an image that are processed as a whole.
        estimate: Whether to estimate the size of cells if it is unknown, and the contrast polarity,
            as far as `training` allows.

    Attributes:
        type_names: The cell types that the network distinguishes.
        tile: The side of a tile in network pixels, a multiple of the stride.
        overlap: The overlap of tiles in network pixels.
    """

    type_names: tuple[str, ...] = field(init=False)
    normalisation: Normalisation
    settings: PredictionSettings
    stride: int = 1
    scale: float | None = None
    training: TrainingImages = field(default_factory=TrainingImages)
    calibration: Calibration | None = None
    image_channels: int | None = None
    block_pixels: int = BLOCK_PIXELS
    estimate: bool = False

    def __post_init__(self) -> None:
        self.tile = multiple(self.settings.tile, self.stride)
        self.overlap = min(self.settings.overlap, self.tile // 2)

    @abstractmethod
    def predict_image(
        self,
        source: ImageSource,
        ratio: float,
        cell_type: str | None = None,
        *,
        is_part: bool = False,
    ) -> Candidates:
        """Return the candidates of an image with `ratio` training pixels per image pixel.

        Args:
            source: The image.
            ratio: Pixels of the training images per image pixel.
            cell_type: The type whose decoding parameters are used; by default the known or voted
                type.
            is_part: Whether the image is one of several parts of a larger image.
        """

    def voted_type(self, source: ImageSource, ratio: float) -> str | None:  # noqa: ARG002
        """Return the cell type whose decoding parameters an image needs, if its maps vote on it."""
        return None

    def scored(self, candidates: Candidates) -> Candidates:
        """Return the candidates with calibrated scores."""
        return candidates if self.calibration is None else self.calibration.scored(candidates)

    @abstractmethod
    def predict_window(self, source: ImageSource, window: Window, ratio: float) -> Candidates:
        """Return the candidates of a window, in its frame, at a scale ratio."""

    def candidates(self, source: ImageSource) -> Candidates:
        """Predict an image; see `Predictor.candidates`. A blank image has no candidates.

        Raises:
            ImageError: The number of channels differs from what the network expects, or the cell
                size would make the image too large.
        """
        found = self._found(source)
        if source.statistics.is_blank or found.cell_diameter is not None:
            return found
        return replace(found, cell_diameter=self.diameter_taken(source, found.scale_ratio))

    def diameter_taken(self, source: ImageSource, ratio: float) -> float | None:
        """Return the cell diameter, in pixels of the image, that a scale ratio assumes.

        It is None if neither the user nor the model knows a diameter.
        """
        if source.cell_diameter is not None and self.scale is None:
            return source.cell_diameter
        training = self.training.median_diameter
        return None if training is None else training / ratio

    def _found(self, source: ImageSource) -> Candidates:
        self._check_channels(source)
        ratio = self.scale_ratio(source)
        check_size(source, ratio, self.settings.scale * ratio)
        if source.statistics.is_blank:
            return Candidates.empty(source.shape, self.type_names)
        if self.estimate and self.measures_size:
            ratio, diameter = self._measured_size(source)
            return replace(self.predict_image(source, ratio), cell_diameter=diameter)
        if self.estimate and (self.training.diameters or self.training.image_statistics):
            return self._judged(source)
        return self.predict_image(source, ratio)

    def image_context(self, source: ImageSource) -> ImageContext:
        """Judge an image; see `PartwisePredictor.image_context`.

        The result holds the scale, the contrast polarity and the cell type of a large image.

        Raises:
            ImageError: See `candidates`; the size of the image is not checked.
        """
        self._check_channels(source)
        ratio = self.scale_ratio(source)
        check_scale(source, self.settings.scale * ratio)
        if source.statistics.is_blank:
            return {"scale_ratio": ratio, "is_negative": False, "cell_type": None}
        turned, diameter = False, None
        if self.estimate and self.measures_size:
            ratio, diameter = self._measured_size(source)
        elif self.estimate and (self.training.diameters or self.training.image_statistics):
            statistics = image_statistics(source, self.normalisation, ratio)
            turned = self._is_turned(source, statistics)
            if self.training.diameters and self.is_unknown(source):
                upright = _negative(source) if turned else source
                sizes = sizes_in_question(statistics, self.training)
                ratio = estimate_size(self.predict_window, upright, self.normalisation, None, sizes)
        upright = _negative(source) if turned else source
        return {
            "scale_ratio": ratio, "is_negative": turned,
            "cell_type": self.voted_type(upright, ratio),
            "cell_diameter": diameter or self.diameter_taken(source, ratio),
        }  # fmt: skip

    def candidates_in(self, source: ImageSource, context: ImageContext) -> Candidates:
        """Predict a part of an image; see `PartwisePredictor.candidates_in`."""
        if source.statistics.is_blank:
            return Candidates.empty(source.shape, self.type_names)
        source = _negative(source) if context["is_negative"] else source
        found = self.predict_image(
            source, context["scale_ratio"], context["cell_type"], is_part=True
        )
        return replace(found, cell_diameter=context.get("cell_diameter"))

    @property
    def measures_size(self) -> bool:
        """Whether the network measures the size of the cells in an image."""
        return False

    @property
    def measures_width(self) -> bool:
        """Whether training brought images to one cell width and the network measures widths."""
        return False

    def measured_size(self, source: ImageSource) -> MeasuredSize | None:  # noqa: ARG002
        """Measure the size of the cells with the network, if it can."""
        return None

    def _measured_size(self, source: ImageSource) -> tuple[float, float | None]:
        """Return the scale ratio (known, else measured, else 1) and the cell diameter.

        The diameter is in pixels of the image, or None if nobody knows it. If the user gives a
        diameter, the network may still measure the width of the cells, which refines the ratio.
        """
        known, training = self.scale_ratio(source), self.training.median_diameter
        is_given = self.scale is None and source.cell_diameter is not None
        asks = self.measures_width if is_given else self.is_unknown(source)
        if training is None or not asks:
            return known, self.diameter_taken(source, known)
        measured = self.measured_size(source)
        if measured is None:
            return known, self.diameter_taken(source, known)
        ratio = training / measured.width
        if source.cell_diameter is not None:
            ratio *= measured.diameter / source.cell_diameter
        low, high = (limit / self.settings.scale for limit in SCALES)
        diameter = source.cell_diameter or measured.diameter
        return float(np.clip(ratio, low, high)), diameter

    def is_unknown(self, source: ImageSource) -> bool:
        """Return whether nothing determines the scale of the image."""
        return self.scale is None and known_size(source, self.training) is None

    def scale_ratio(self, source: ImageSource) -> float:
        """Return training pixels per pixel of this image, as far as known; else 1."""
        if self.scale is not None:
            return self.scale / self.settings.scale
        known = known_size(source, self.training)
        return 1.0 if known is None else known

    def scale_of(self, candidates: Candidates) -> float:
        """Return the network pixels per image pixel at which the candidates were predicted."""
        return self.settings.scale * candidates.scale_ratio

    def block_side(self, ratio: float) -> int:
        """Return the side, in image pixels, of the blocks of a large image."""
        enlarged = max(self.settings.scale * ratio, 1.0)
        return max(int(self.block_pixels**0.5 / enlarged), 16)

    def is_one_block(self, source: ImageSource, ratio: float) -> bool:
        """Return whether an image is small enough to be processed as a whole."""
        return source.shape[0] * source.shape[1] <= self.block_side(ratio) ** 2

    def _judged(self, source: ImageSource) -> Candidates:
        """Predict an image after estimating the cell size and the contrast polarity."""
        statistics = image_statistics(source, self.normalisation, self.scale_ratio(source))
        source = Negative(source) if self._is_turned(source, statistics) else source
        if not self.training.diameters or not self.is_unknown(source):
            return self.predict_image(source, self.scale_ratio(source))
        first = self.predict_image(source, 1.0) if self.is_one_block(source, 1.0) else None
        if first is not None and is_plausible(first, statistics, self.training):
            return first
        sizes = sizes_in_question(statistics, self.training)
        ratio = estimate_size(self.predict_window, source, self.normalisation, first, sizes)
        return first if first is not None and ratio == 1 else self.predict_image(source, ratio)

    def _is_turned(self, source: ImageSource, statistics: Mapping[str, float]) -> bool:
        """Return whether bright and dark are exchanged."""
        ratio = self.scale_ratio(source)
        return may_be_inverted(statistics, self.training.image_statistics) and is_inverted(
            self.predict_window, source, self.normalisation, ratio
        )

    def _check_channels(self, source: ImageSource) -> None:
        expected = self.image_channels
        if expected is not None and source.channels != expected:
            last = source.channels - 1
            one = f": choose one with --channel 0 to {last} (in Python channel=0)"
            advice = one if expected == 1 else ""
            raise ImageError(
                f"{source.name} has {source.channels} channels, but the model was trained on "
                f"images of {expected}{advice}",
                key="channels",
                found=source.channels,
                expected=expected,
            )


def _negative(source: ImageSource) -> ImageSource:
    """Return the negative of a large image, or of a part of one; its statistics are reused."""
    turned = Negative(source)
    turned.statistics = source.statistics.negated()
    return turned

"""What all networks share as predictors: how large an image is seen, judged where nothing says."""

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
from bigkingxxl.inference.size.size_estimate import (
    estimate_size,
    is_plausible,
    sizes_in_question,
)
from bigkingxxl.inference.size.sizing import (
    SCALES,
    TrainingImages,
    check_scale,
    check_size,
    known_size,
)
from bigkingxxl.models import PredictionSettings

BLOCK_PIXELS = 2**24  # 2048 x 2048 at twice the size


@dataclass(frozen=True)
class MeasuredSize:
    """How large an image shows its median cell, in its pixels.

    Attributes:
        diameter: of a disc of its area.
        width: by which training brought images to one size (see `bigkingxxl.widths`); the diameter
            for models that know no other.
    """

    diameter: float
    width: float


@dataclass(kw_only=True, eq=False)
class NetworkPredictor(ABC):
    """A trained network as a `Predictor`; normalisation and scale are fixed for the whole image.

    Args:
        stride: sides of a tile are multiples of it.
        scale: network pixels per image pixel; None takes the settings' scale for images that show
            cells as large as training did, and more or less where they are known to differ.
        training: what is known of the training images; by default nothing.
        calibration: of the candidates' scores; None leaves them as the method makes them.
        image_channels: how many the network takes; None does not check.
        block_pixels: network pixels of an image that are looked at as a whole.
        estimate: judge by what is seen how large the cells of an image are, where nothing says
            it, and whether its bright and dark are exchanged; as far as `training` is known.

    Attributes:
        type_names: the cell types it tells apart.
        tile, overlap: in network pixels, as the settings have them and the stride allows.
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
        """The candidates of an image whose pixels are `ratio` training pixels long.

        Args:
            cell_type: whose decoding parameters are taken; by default as is known, or seen.
            is_part: the image is a part of a larger one, of which others are seen as well.
        """

    def voted_type(self, source: ImageSource, ratio: float) -> str | None:  # noqa: ARG002
        """The type whose decoding parameters an image needs, where its own maps vote for one."""
        return None

    def scored(self, candidates: Candidates) -> Candidates:
        """The candidates under the scores that they go by."""
        return candidates if self.calibration is None else self.calibration.scored(candidates)

    @abstractmethod
    def predict_window(self, source: ImageSource, window: Window, ratio: float) -> Candidates:
        """The candidates of a window, in its frame, as at a scale ratio."""

    def candidates(self, source: ImageSource) -> Candidates:
        """See `Predictor.candidates`; a blank image has none.

        Raises:
            ImageError: the image has more or fewer channels than the network takes, or its size
                asks for too large an image.
        """
        found = self._found(source)
        if source.statistics.is_blank or found.cell_diameter is not None:
            return found
        return replace(found, cell_diameter=self.diameter_taken(source, found.scale_ratio))

    def diameter_taken(self, source: ImageSource, ratio: float) -> float | None:
        """The diameter of cells, in pixels of an image, for which it was seen at a scale ratio.

        None where neither the user nor the model knows any.
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
        """See `PartwisePredictor.image_context`: scale, contrast polarity, type of a large image.

        Raises:
            ImageError: as in `candidates`, but for the size of the image.
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
        """See `PartwisePredictor.candidates_in`."""
        if source.statistics.is_blank:
            return Candidates.empty(source.shape, self.type_names)
        source = _negative(source) if context["is_negative"] else source
        found = self.predict_image(
            source, context["scale_ratio"], context["cell_type"], is_part=True
        )
        return replace(found, cell_diameter=context.get("cell_diameter"))

    @property
    def measures_size(self) -> bool:
        """Whether the network itself tells how large an image shows its cells."""
        return False

    @property
    def measures_width(self) -> bool:
        """Whether it was trained on images brought to one width of cells, and tells widths."""
        return False

    def measured_size(self, source: ImageSource) -> MeasuredSize | None:  # noqa: ARG002
        """How large an image shows its cells, as far as the network tells."""
        return None

    def _measured_size(self, source: ImageSource) -> tuple[float, float | None]:
        """The scale ratio: what is known, else what the network tells, else that of training.

        With it comes the diameter of the cells in the image's pixels, where anybody knows it.
        Of a given diameter the network tells how closely cells of their shape are to be looked at.
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
        """True where no scale is given and nothing says how large the image shows its cells."""
        return self.scale is None and known_size(source, self.training) is None

    def scale_ratio(self, source: ImageSource) -> float:
        """Training pixels per pixel of this image, as far as it is known; else 1."""
        if self.scale is not None:
            return self.scale / self.settings.scale
        known = known_size(source, self.training)
        return 1.0 if known is None else known

    def scale_of(self, candidates: Candidates) -> float:
        """Network pixels per image pixel, as these candidates of the image were seen."""
        return self.settings.scale * candidates.scale_ratio

    def block_side(self, ratio: float) -> int:
        """Side of the blocks, in image pixels, that an image larger than one is taken in."""
        enlarged = max(self.settings.scale * ratio, 1.0)
        return max(int(self.block_pixels**0.5 / enlarged), 16)

    def is_one_block(self, source: ImageSource, ratio: float) -> bool:
        """Whether an image is small enough to be looked at as a whole."""
        return source.shape[0] * source.shape[1] <= self.block_side(ratio) ** 2

    def _judged(self, source: ImageSource) -> Candidates:
        """The candidates where size and sense of brightness are judged by what is seen."""
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
        """Whether bright and dark are exchanged."""
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
                f"images of {expected}{advice}"
            )


def _negative(source: ImageSource) -> ImageSource:
    """A large image, or a part of one, with bright and dark exchanged: its statistics are known."""
    turned = Negative(source)
    turned.statistics = source.statistics.negated()
    return turned

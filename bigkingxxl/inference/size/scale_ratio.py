"""The scale ratio of an image: given, derived from the file, or estimated.

It is the number of pixels of the training images per image pixel: 2 if the cells are half as large,
in pixels, as those on which the model was trained.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from bigkingxxl.errors import ImageError, InputError
from bigkingxxl.images import ArrayImage, ImageSource
from bigkingxxl.instances import PixelSize

if TYPE_CHECKING:
    from bigkingxxl.model_card import ModelCard

log = logging.getLogger(__name__)

SCALES = (0.01, 100.0)
SMALLEST_PIXEL, LARGEST_PIXEL = 1e-6, 1e6  # micrometres
LARGEST_IMAGE = 10**9  # in pixels of the training images, after enlarging


@dataclass(frozen=True)
class TrainingImages:
    """The properties of a model's training images.

    Attributes:
        pixel_size_um: Micrometres per pixel (row, column), or None if unknown.
        median_diameter: The median diameter of all cells in pixels, or None.
        diameters: By cell type, the range of the median diameter of images with that type.
        image_statistics: The range of each statistic of
            `bigkingxxl.inference.domain.image_statistics`.
        usual_diameter: The cell diameter, in pixels, that is assumed for images without further
            information; None if there is no such assumption.
    """

    pixel_size_um: PixelSize | None = None
    median_diameter: float | None = None
    diameters: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    image_statistics: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    usual_diameter: float | None = None

    def diameter_range(self, cell_type: str) -> tuple[float, float]:
        """Return the range for a cell type, or for all types if it is unknown."""
        every = list(self.diameters.values())
        all_types = (min(low for low, _ in every), max(high for _, high in every))
        return self.diameters.get(cell_type, all_types)


def training_images(card: ModelCard) -> TrainingImages:
    """Return the properties of the training images in a model's card."""
    return TrainingImages(
        card.pixel_size_um, card.median_diameter, card.image_diameters, card.image_statistics,
        card.prediction.diameter,
    )  # fmt: skip


@dataclass(frozen=True)
class ScaleHint:
    """The information that a user gives on the size of cells in images.

    `scale` and `diameter` both determine the scale, so that only one of them may be given.

    Attributes:
        scale: Network pixels per image pixel.
        diameter: The diameter of the cells in image pixels.
        pixel_size_um: Micrometres per pixel (row, column); it replaces the value of the file.
    """

    scale: float | None = None
    diameter: float | None = None
    pixel_size_um: PixelSize | None = None

    def check(self, cards: Sequence[ModelCard], dashes: str = "") -> None:
        """Refuse values that no image can be predicted with.

        Args:
            cards: The cards of the models.
            dashes: The prefix of the names in messages, if they are command line options.

        Raises:
            InputError: A value is not a number, not above 0, out of range, or contradicts another
                one.
        """
        scale, diameter, size = self.scale, self.diameter, self.pixel_size_um
        if scale is not None and not SCALES[0] <= scale <= SCALES[1]:
            raise InputError(
                f"{dashes}scale is {scale}, expected 0.01 to 100 network pixels per image pixel",
                key=f"{dashes}scale",
                found=scale,
            )
        if diameter is not None and not 0 < diameter < np.inf:
            raise InputError(
                f"{dashes}diameter is {diameter}, expected pixels, above 0",
                key=f"{dashes}diameter",
                found=diameter,
            )
        if size is not None and not all(SMALLEST_PIXEL <= side <= LARGEST_PIXEL for side in size):
            shown = size[0] if size[0] == size[1] else size
            raise InputError(
                f"the pixel size is {shown}, expected {SMALLEST_PIXEL:g} to {LARGEST_PIXEL:g} "
                "micrometres",
                key=f"{dashes}pixel-size",
                found=shown,
            )
        if scale is not None and diameter is not None:
            raise InputError(
                f"{dashes}scale and {dashes}diameter both set the scale of the image: use only "
                "one of them",
                key=f"{dashes}scale",
                found=f"{dashes}diameter",
            )
        for card in cards:
            self._check_card(card, dashes)

    def _check_card(self, card: ModelCard, dashes: str) -> None:
        probe = self.applied_to(ArrayImage(np.zeros((1, 1), np.uint8), "every image"))
        ratio = 1.0 if self.scale is not None else known_size(probe, training_images(card))
        if ratio is not None:
            check_size(probe, ratio, card.prediction.scale * ratio)
            if self.pixel_size_um and not self.scale and not self.diameter:
                self._warn_of_usual(card, dashes)
        elif self.pixel_size_um is not None:
            log.warning(
                "the model does not know the pixel size of its training images: %spixel-size sets "
                "the unit of the results, but not the size of the cells; use %sdiameter for that",
                dashes, dashes,
            )  # fmt: skip

    def _warn_of_usual(self, card: ModelCard, dashes: str) -> None:
        usual = card.prediction.diameter
        if usual is not None:
            log.warning(
                "the model expects cells of %.4g pixels: %spixel-size sets the unit of the "
                "results, but not the size of the cells; use %sdiameter for that", usual, dashes,
                dashes,
            )  # fmt: skip

    def applied_to(self, source: ImageSource) -> ImageSource:
        """Return the image with the user's values in place of those of its file."""
        if self.diameter is None and self.pixel_size_um is None:
            return source
        source = copy.copy(source)
        source.cell_diameter = self.diameter
        source.pixel_size_um = self.pixel_size_um or source.pixel_size_um
        return source


def scale_ratio(pixel_size: PixelSize, training: PixelSize) -> float:
    """Return the number of training pixels per image pixel."""
    return float(np.sqrt(np.prod(pixel_size) / np.prod(training)))


def known_size(source: ImageSource, training: TrainingImages) -> float | None:
    """Return the scale ratio of an image from what is known about it, or None.

    The cell diameter of the image takes precedence over the usual diameter of the model, and that
    over the pixel size.

    Raises:
        ImageError: A diameter is given, but the model does not know the diameter of its training
            cells.
    """
    diameter = source.cell_diameter or training.usual_diameter
    if diameter is not None:
        if training.median_diameter is None:
            raise ImageError(
                f"{source.name}: a diameter of {diameter:g} pixels is given, but the model does "
                "not know the diameter of its training cells: set a scale instead",
                key="diameter",
                found=diameter,
            )
        return training.median_diameter / diameter
    if source.pixel_size_um is None or training.pixel_size_um is None:
        return None
    return scale_ratio(source.pixel_size_um, training.pixel_size_um)


def check_size(source: ImageSource, ratio: float, scale: float) -> None:
    """Refuse a scale that makes an image too large or too small, before memory is allocated.

    Args:
        source: The image.
        ratio: Pixels of the training images per image pixel.
        scale: Network pixels per image pixel.

    Raises:
        ImageError: The scale is beyond 0.01 to 100 network pixels per image pixel, or the image
            would have more than a thousand million pixels.
    """
    check_scale(source, scale)
    pixels = source.shape[0] * source.shape[1] * ratio**2
    if ratio > 1 and pixels > LARGEST_IMAGE:
        raise ImageError(
            f"{source.name}: {_reason(source)} asks for an image of {pixels:,.0f} pixels, more "
            f"than the limit of {LARGEST_IMAGE:,}",
            key="pixels",
            found=pixels,
            expected=LARGEST_IMAGE,
        )


def check_scale(source: ImageSource, scale: float) -> None:
    """Refuse a scale that makes an image far too large or too small.

    Args:
        source: The image.
        scale: Network pixels per image pixel.

    Raises:
        ImageError: The scale is beyond 0.01 to 100.
    """
    if not SCALES[0] <= scale <= SCALES[1]:
        raise ImageError(
            f"{source.name}: {_reason(source)} asks for {scale:.3g} network pixels per image "
            "pixel, expected 0.01 to 100",
            key="scale",
            found=scale,
        )


def _reason(source: ImageSource) -> str:
    """Return what determined the scale of an image."""
    if source.cell_diameter is not None:
        return f"a cell diameter of {source.cell_diameter:g} pixels"
    if source.pixel_size_um is not None:
        return "a pixel size of {:g} x {:g} um".format(*source.pixel_size_um)
    return "its size"

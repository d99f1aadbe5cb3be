"""The card of a model: what it is, what it was trained on, and how it predicts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from bigkingxxl.calibration import Calibration
from bigkingxxl.expected_quality import ExpectedQuality
from bigkingxxl.images import Normalisation
from bigkingxxl.operating_points import OperatingPoints
from bigkingxxl.settings import (
    MOST_PIXELS_ALONG_A_SIDE,
    Channels,
    Positive,
    Range,
    Settings,
    rising,
)
from bigkingxxl.test_time_augmentation import EARLIER, Augmentations

Diameters = Annotated[tuple[Positive, Positive], AfterValidator(rising)]
CellDiameter = Annotated[float, Field(ge=0.5, le=1e6)]  # in pixels; a pixel measures 1.13


class PredictionSettings(Settings):
    """How a trained model reads an image.

    Attributes:
        scale: Network pixels per pixel of the training images.
        tile: The side of a tile in network pixels; it is rounded up to the stride of the method.
        overlap: The overlap of neighbouring tiles in network pixels.
        tta: Test-time augmentation, the views whose results are averaged: any of 'mirror', 'flips',
            'turns' and 'scales', or 'none'; see `bigkingxxl.test_time_augmentation`.
        decode_scale: Pixels of the decoded maps per image pixel, at most the resolution of the
            network. A larger value draws outlines more finely and takes longer. Detectors ignore
            it.
        batch_size: The number of tiles that the network processes at once.
        diameter: The cell diameter in pixels that is assumed for images without further
            information; None estimates it for each image.
    """

    scale: float = Field(1.0, ge=0.01, le=100)
    tile: int = Field(256, ge=32, le=MOST_PIXELS_ALONG_A_SIDE)
    overlap: int = Field(64, ge=0, le=MOST_PIXELS_ALONG_A_SIDE)
    tta: Augmentations = ()
    decode_scale: float = Field(1.0, ge=1, le=100)
    batch_size: int = Field(4, ge=1, le=4096)
    diameter: Positive | None = None

    @model_validator(mode="before")
    @classmethod
    def _reads_flips(cls, values: Any) -> Any:
        """Accept `flips`, a number of views, from earlier models and settings."""
        if not isinstance(values, Mapping) or "flips" not in values:
            return values
        known = {key: value for key, value in values.items() if key != "flips"}
        flips = values["flips"]
        if not isinstance(flips, int) or flips not in EARLIER:
            raise ValueError(f"'flips' is {flips!r}, use 'tta' instead")
        if known.get("tta"):
            raise ValueError("'flips' and 'tta' are both given: use only 'tta'")
        return {**known, "tta": EARLIER[flips]}


# Bounds against damaged and hostile files: one mask per type, and a text for a terminal.
MOST_TYPES, LONGEST_LICENCE = 4096, 20_000


class ModelCard(Settings):
    """The description of a model: what it is, what it was trained on and how it predicts.

    Attributes:
        method: The name of the method.
        settings: The settings of the method.
        type_names: The cell types, in the order of the network's outputs.
        normalisation: How intensities are normalised.
        prediction: How images are read.
        operating_points: How cells are selected from candidates.
        calibration: Maps the score of a candidate to its expected IoU; None leaves the score as it
            is.
        quality: Predicts the segmentation accuracy of an image; None if the model does not.
        pixel_size_um: Micrometres per pixel of the training images, or None if unknown.
        median_diameter: The diameter, in pixels, of a disc with the median area of the training
            cells.
        image_diameters: By cell type, the range (5th to 95th percentile of the training images) of
            the median cell diameter of an image; empty if unknown.
        image_statistics: By name, the range of each statistic of the training images; see
            `bigkingxxl.inference.domain.image_statistics`; empty if unknown.
        trained_on: The ids of the training images.
        selected_on: The ids of the images on which the checkpoint was selected.
        scores: The measured scores, by name.
        provenance: The date, command, versions and seed of the training.
        licence: Terms of the training data, shown when the model is first used; may be empty.
    """

    format: Literal["bigkingxxl-model-1"] = "bigkingxxl-model-1"
    method: str
    settings: dict[str, Any]
    type_names: tuple[str, ...] = Field(min_length=1, max_length=MOST_TYPES)
    image_channels: Channels = 1
    normalisation: Normalisation = Normalisation()
    prediction: PredictionSettings = PredictionSettings()
    operating_points: OperatingPoints = OperatingPoints()
    calibration: Calibration | None = None
    quality: ExpectedQuality | None = None
    pixel_size_um: tuple[Positive, Positive] | None = None
    median_diameter: CellDiameter | None = None
    image_diameters: dict[str, Diameters] = Field(default_factory=dict)
    image_statistics: dict[str, Annotated[Range, AfterValidator(rising)]] = Field(
        default_factory=dict
    )
    trained_on: tuple[str, ...] = ()
    selected_on: tuple[str, ...] = ()
    scores: dict[str, Any] = Field(default_factory=dict)
    provenance: dict[str, Any] = Field(default_factory=dict)
    licence: str = Field("", max_length=LONGEST_LICENCE)

    @field_validator("type_names")
    @classmethod
    def _types_differ(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) < len(names):
            raise ValueError("a cell type is named twice")
        return names

    @model_validator(mode="before")
    @classmethod
    def _reads_appearance(cls, values: Any) -> Any:
        """Accept the earlier name `appearance` of `image_statistics`."""
        if not isinstance(values, Mapping) or "appearance" not in values:
            return values
        known = {key: value for key, value in values.items() if key != "appearance"}
        return {"image_statistics": values["appearance"], **known}

"""The settings of augmentation."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from bigkingxxl.settings import Settings, rising

Zoom = Annotated[float, Field(ge=0.01, le=100)]
Zooms = Annotated[tuple[Zoom, Zoom], AfterValidator(rising)]


class AugmentSettings(Settings):
    """The augmentation of training crops.

    Attributes:
        size: The side of a crop in pixels.
        zoom: The range of enlargements of the image.
        diameter: Scale each image so that its median cell has this diameter in network pixels; None
            keeps the scale of the images.
        diameter_of: The cells whose median is used: those of all images of the image's 'type', or
            of the 'image' itself. 'width' uses the median cell width of the image instead of the
            diameter (see `bigkingxxl.cell_widths`), so that thin cells get the resolution that they
            need.
        wide_share: The fraction of crops whose zoom is drawn from `wide_zoom` instead. From these
            the network learns the position and size of cells, but not their flows.
        wide_zoom: The range of enlargements of these crops.
        rotate: Whether to rotate by any angle.
        flip: Whether to flip.
        stretch: The largest ratio of the zooms along the two axes.
        contrast: The largest relative change of normalised intensities.
        brightness: The largest absolute change of normalised intensities.
        gamma: The largest exponent (or its inverse) of intensities.
        noise: The largest standard deviation of added noise, normalised.
        blur: The largest standard deviation of a Gaussian blur, in pixels.
        invert: The fraction of crops with inverted intensities.
        uneven: The largest change of the background across a crop, normalised.
        halo: The largest strength of a halo that is added or removed, as other phase rings would
            do.
        debris: The largest number of specks that are added to a crop; they do not belong to cells.
        on_cell: The fraction of crops centred near a cell; the others lie anywhere.
    """

    size: int = Field(256, ge=16, le=4096)
    zoom: Zooms = (1.0, 2.0)
    diameter: float | None = Field(None, gt=0, le=1000)
    diameter_of: Literal["type", "image", "width"] = "type"
    wide_share: float = Field(0.0, ge=0, le=1)
    wide_zoom: Zooms = (0.25, 4.0)
    rotate: bool = True
    flip: bool = True
    stretch: float = Field(1.1, ge=1, le=10)
    contrast: float = Field(0.25, ge=0, lt=1)
    brightness: float = Field(0.2, ge=0, le=100)
    gamma: float = Field(1.2, ge=1, le=100)
    noise: float = Field(0.06, ge=0, le=100)
    blur: float = Field(0.7, ge=0, le=100)
    invert: float = Field(0.0, ge=0, le=1)
    uneven: float = Field(0.0, ge=0, le=100)
    halo: float = Field(0.0, ge=0, le=100)
    debris: int = Field(0, ge=0, le=100)
    on_cell: float = Field(0.8, ge=0, le=1)

    @property
    def is_by_image(self) -> bool:
        """Whether every image is scaled by its own cells."""
        return self.diameter is not None and self.diameter_of != "type"

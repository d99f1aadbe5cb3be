"""What may happen to a training crop."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from bigkingxxl.settings import Settings, rising

Zoom = Annotated[float, Field(ge=0.01, le=100)]
Zooms = Annotated[tuple[Zoom, Zoom], AfterValidator(rising)]


class AugmentSettings(Settings):
    """What may happen to a training crop.

    Attributes:
        size: side of the crop the network sees, in pixels.
        zoom: smallest and largest enlargement of the image.
        diameter: enlarge each image before, so that its median cell has this diameter, in pixels
            of the network; None takes images as they are.
        diameter_of: whose median that is, of all images of the image's cell 'type' or of the
            'image' itself; 'width' takes the image's median width of cells in its place (see
            `bigkingxxl.widths`), so that thin cells are seen as closely as they need.
        wide_share: share of crops whose zoom is drawn from `wide_zoom` instead. From these the
            network learns where cells are and how large, but not their flows.
        rotate, flip: any angle, mirror images.
        stretch: largest ratio of the zooms along the two axes.
        contrast, brightness: largest relative and absolute change of normalised intensities.
        gamma: largest exponent (or its inverse) on intensities.
        noise: largest standard deviation of added noise, normalised.
        blur: largest standard deviation of a Gaussian blur, in pixels.
        invert: share of crops whose intensities are inverted (bright for dark).
        uneven: largest change of the background across a crop, normalised.
        halo: largest strength of a halo that is added or taken away, as other phase rings would.
        debris: largest number of specks that are added to a crop; they belong to no cell.
        on_cell: share of crops centred near a cell; the rest lies anywhere.
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
        """True where every image is enlarged by its own cells."""
        return self.diameter is not None and self.diameter_of != "type"

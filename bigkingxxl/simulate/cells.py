"""Outlines of single cells: a body with tapered limbs, drawn as a crop around its centre.

The outline is the zero level of a smooth union of signed distances (ellipse and tapered capsules),
which gives the concave, web-like corners of adherent cells. Source of the smooth union: Inigo
Quilez, "Smooth minimum" (2013), the exponential form.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bigkingxxl.simulate.cell_types import CellTypeProfile, ShapeRanges

BoolMap = NDArray[np.bool_]
FloatMap = NDArray[np.float32]


# Half the width of the tip of a limb in pixels. Annotators draw outlines along the crest of the
# halo, about 1.8 pixels outside the edge of the cell; a narrower tip would have no thickness.
TIP = 2.3


@dataclass(frozen=True)
class CellShape:
    """A cell before it is placed.

    Attributes:
        visible: bool[h, w], everything that has thickness.
        annotated: bool[h, w], the part that an annotator outlines, without thin ends.
        reach: Rows and columns from the corner of the crop to the centre of the cell.
        angle: The direction of the long axis, in radians from the column axis.
    """

    visible: BoolMap
    annotated: BoolMap
    reach: int
    angle: float


@dataclass(frozen=True)
class _Skeleton:
    radius: float
    aspect: float
    angle: float
    bend: float
    limb_angles: NDArray[np.float64]
    limb_lengths: NDArray[np.float64]
    limb_widths: NDArray[np.float64]


def draw_shape(
    rng: np.random.Generator, profile: CellTypeProfile, angle: float, scale: float
) -> CellShape:
    """Draw the outline of a cell with its long axis near `angle`; `scale` shrinks it if crowded.

    Areas are log-normal around the median of the type. The result is never empty.
    """
    ranges = profile.shape
    skeleton = _draw_skeleton(rng, ranges, angle, scale)
    reach = _reach(skeleton)
    along, across = _body_frame(skeleton, reach)
    distance = _distance(skeleton, along, across)
    distance += _outline_noise(rng, along, across, skeleton.radius, ranges.roughness)
    visible = distance < 0
    visible[reach, reach] = True
    opening = float(rng.uniform(*ranges.opening))
    return CellShape(visible, _without_thin_ends(visible, opening, reach), reach, angle)


def largest_part(mask: BoolMap) -> BoolMap:
    """Keep the largest connected part of bool[h, w]; an empty mask stays empty."""
    parts, found = ndimage.label(mask)
    if found <= 1:
        return mask
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    return np.asarray(parts == int(sizes.argmax()))


def _draw_skeleton(
    rng: np.random.Generator, ranges: ShapeRanges, angle: float, scale: float
) -> _Skeleton:
    area = ranges.area * scale**2 * float(np.exp(ranges.area_spread * rng.standard_normal()))
    radius = float(np.sqrt(np.clip(area, 40.0, 6000.0) / np.pi))
    count = int(rng.integers(ranges.limbs[0], ranges.limbs[1] + 1))
    # Limbs alternate between the ends of the long axis, which gives spindles rather than stars.
    ends = np.pi * (np.arange(count) % 2) + ranges.limb_scatter * rng.standard_normal(count)
    return _Skeleton(
        radius=radius,
        aspect=float(rng.uniform(*ranges.aspect)),
        angle=angle,
        bend=ranges.bend * float(rng.standard_normal()) / radius,
        limb_angles=ends,
        limb_lengths=radius * rng.uniform(*ranges.limb_length, count),
        limb_widths=radius * rng.uniform(*ranges.limb_width, count),
    )


def _reach(skeleton: _Skeleton) -> int:
    longest = float(skeleton.limb_lengths.max(initial=0.0)) + 2.0
    return int(np.ceil(max(longest, skeleton.radius * np.sqrt(skeleton.aspect)) * 1.15)) + 4


def _body_frame(skeleton: _Skeleton, reach: int) -> tuple[FloatMap, FloatMap]:
    offsets = np.arange(-reach, reach + 1, dtype=np.float32)
    rows, cols = offsets[:, None], offsets[None, :]
    cosine, sine = np.float32(np.cos(skeleton.angle)), np.float32(np.sin(skeleton.angle))
    along = cols * cosine + rows * sine
    across = rows * cosine - cols * sine
    return along, across - np.float32(skeleton.bend) * along * along


def _distance(skeleton: _Skeleton, along: FloatMap, across: FloatMap) -> FloatMap:
    # Limbs add area, so the ellipse is slightly smaller than the nominal area of the cell.
    stretch = np.sqrt(skeleton.aspect)
    half_width = 0.88 * skeleton.radius / stretch
    ellipse = np.hypot(along / (0.88 * skeleton.radius * stretch), across / half_width)
    softness = np.float32(0.2 * skeleton.radius + 0.5)
    total = np.exp(-(ellipse - 1.0) * half_width / softness)
    for angle, length, width in zip(
        skeleton.limb_angles, skeleton.limb_lengths, skeleton.limb_widths, strict=True
    ):
        total += np.exp(-_limb_distance(along, across, angle, length, width) / softness)
    return np.asarray(-softness * np.log(total + 1e-12), dtype=np.float32)


def _limb_distance(
    along: FloatMap, across: FloatMap, angle: float, length: float, width: float
) -> FloatMap:
    """Compute the distance to a straight limb that tapers from the centre to a thin tip."""
    cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    place = np.clip((along * cosine + across * sine) / np.float32(length), 0, 1)
    from_axis = np.hypot(along - place * length * cosine, across - place * length * sine)
    half = TIP + max(width - TIP, 0.3) * (1 - place)
    return np.asarray(from_axis - half, dtype=np.float32)


def _outline_noise(
    rng: np.random.Generator, along: FloatMap, across: FloatMap, radius: float, amount: float
) -> FloatMap:
    waves = np.zeros_like(along)
    for cycles in (0.6, 1.1):
        heading, phase = rng.uniform(0, 2 * np.pi, 2)
        step = np.float32(2 * np.pi * cycles / radius / 2)
        waves += np.sin(step * (along * np.cos(heading) + across * np.sin(heading)) + phase)
    return np.asarray(amount * radius * waves, dtype=np.float32)


def _without_thin_ends(visible: BoolMap, opening: float, reach: int) -> BoolMap:
    """Remove what is thinner than about twice `opening` pixels, as annotators do."""
    body = largest_part(visible)
    if opening >= 0.5:
        deep = ndimage.distance_transform_edt(body) > opening
        grown = ndimage.distance_transform_edt(~deep) <= opening if deep.any() else body
        body = largest_part(np.asarray(body & grown))
    if not body.any():
        body[reach, reach] = True
    return body

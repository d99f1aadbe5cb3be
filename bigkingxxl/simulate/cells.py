"""Outlines of single cells: a body with tapered limbs, drawn as a crop around its centre.

The outline is the zero line of a smooth union of signed distances (ellipse and tapered capsules),
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


# Half the width of a limb's tip, px. Outlines run along the halo's crest, as annotators draw them,
# about 1.8 px outside the cell's edge: a tip of less than that would have no thickness at all.
TIP = 2.3


@dataclass(frozen=True)
class CellShape:
    """One cell before it is placed.

    visible: bool[h, w], everything that has thickness; annotated: bool[h, w], the part that an
    annotator outlines (thin ends are left out); reach: rows and columns from the crop's corner to
    the cell's centre; angle: direction of the long axis, radians from the column axis.
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
    """Draw one cell outline with its long axis near `angle`; `scale` shrinks it in crowded fields.

    Areas are log-normal about the type's median. The result is never empty.
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
    # Limbs leave at opposite ends of the long axis in turn: spindles rather than stars.
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
    # Limbs add area, so the ellipse is a little smaller than the cell's nominal area.
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
    """Distance to a straight limb from the centre that tapers to a thin tip."""
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
    """Erase what is thinner than about twice `opening` px, as annotators do with thin ends."""
    body = largest_part(visible)
    if opening >= 0.5:
        deep = ndimage.distance_transform_edt(body) > opening
        grown = ndimage.distance_transform_edt(~deep) <= opening if deep.any() else body
        body = largest_part(np.asarray(body & grown))
    if not body.any():
        body[reach, reach] = True
    return body

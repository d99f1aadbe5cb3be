"""From flows to a label map: gather, check against the flows a mask would have, fill, drop small.

Source: Stringer et al. 2021, Cellpose, in the order of version 3; there a cell of more than 40 % of
the image is dropped as well, here it stays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.decoding.flow_dynamics import end_points, gathered
from bigkingxxl.decoding.flow_targets import cell_strip
from bigkingxxl.decoding.holes import fill_holes

Float32 = NDArray[np.float32]
LabelMap = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class FlowCells:
    """Cells read from flows.

    Attributes:
        label_map: int32[h, w], labels 1 .. N.
        error: float32[N], how far each mask's own flows are from those it was read from.
    """

    label_map: LabelMap
    error: Float32


def cells_from_flows(
    flows: Float32,
    foreground: NDArray[np.bool_],
    *,
    steps: int = 200,
    flow_error: float = 0.4,
    minimum_area: int = 15,
) -> FlowCells:
    """The cells that flows gather into.

    Args:
        flows: float32[2, h, w], of length 1 where they are sure; foreground: bool[h, w].
        steps: Euler steps; flow_error: masks above it are dropped; minimum_area: in pixels, smaller
            cells are dropped, before their holes are filled and after.
    """
    label_map = np.zeros(foreground.shape, np.int32)
    label_map[foreground] = gathered(end_points(flows, foreground, steps), foreground.shape)
    label_map = only(label_map, large_enough(label_map, minimum_area))
    error = flow_errors(label_map, flows)
    agree = error <= flow_error
    label_map, error = fill_holes(only(label_map, agree)), error[agree]
    keep = large_enough(label_map, minimum_area)
    return FlowCells(only(label_map, keep), error[keep])


def flow_errors(label_map: LabelMap, flows: Float32) -> Float32:
    """float32[N]: mean squared length of flows minus the mask's own, over each label 1 .. N.

    0 where they agree, 2 where they are unrelated and 4 where they are opposite. A label without
    pixels counts as 0.
    """
    error = np.zeros(int(label_map.max(initial=0)) + 1, np.float32)
    if len(error) > 1:
        strip = cell_strip(label_map)
        gap = strip.flows()
        gap -= flows.reshape(2, -1)[:, strip.flat]
        total = np.add.reduceat((gap**2).sum(axis=0), strip.splits[:-1])
        error[strip.label] = total / np.diff(strip.splits)
    return error[1:]


def large_enough(label_map: LabelMap, minimum_area: int) -> NDArray[np.bool_]:
    """bool[N]: which labels 1 .. N have that many pixels, and any at all."""
    keep: NDArray[np.bool_] = np.bincount(label_map.ravel())[1:] >= max(minimum_area, 1)
    return keep


def only(label_map: LabelMap, keep: NDArray[np.bool_]) -> LabelMap:
    """int32[h, w] with some of the labels 1 .. N, renumbered in order."""
    if keep.all():
        return label_map
    number = np.zeros(len(keep) + 1, np.int32)
    number[1:] = np.where(keep, np.cumsum(keep), 0)
    return number[label_map]

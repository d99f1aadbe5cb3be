"""From flows to a label map: follow them, compare with the flows of each mask, fill, drop.

Source: Stringer et al. 2021, Cellpose, in the order of version 3. Cellpose also drops cells that
cover more than 40 % of the image; here they are kept.
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
    """The cells decoded from flows.

    Attributes:
        label_map: int32[h, w] with labels 1 .. N.
        error: float32[N], the difference between each mask's own flows and the predicted ones.
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
    """Decode flows into cells.

    Args:
        flows: float32[2, h, w], of length 1 where the network is certain.
        foreground: bool[h, w].
        steps: The number of Euler steps.
        flow_error: Masks with a larger error are discarded.
        minimum_area: In pixels; smaller cells are discarded, before and after filling holes.
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
    """Compute the mean squared difference between flows and each label's own flows, float32[N].

    It is 0 if they agree, 2 if they are unrelated and 4 if they are opposite. A label without
    pixels has the error 0.
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
    """Return which labels 1 .. N are not empty and have at least that many pixels, bool[N]."""
    keep: NDArray[np.bool_] = np.bincount(label_map.ravel())[1:] >= max(minimum_area, 1)
    return keep


def only(label_map: LabelMap, keep: NDArray[np.bool_]) -> LabelMap:
    """Keep some of the labels 1 .. N and renumber them in order: int32[h, w]."""
    if keep.all():
        return label_map
    number = np.zeros(len(keep) + 1, np.int32)
    number[1:] = np.where(keep, np.cumsum(keep), 0)
    return number[label_map]

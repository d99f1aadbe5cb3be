"""The targets of a detector for a crop: boxes, types, and label planes with the cells' masks."""

from __future__ import annotations

from typing import TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

SAMPLING = 2  # sample points per axis that each bin of a mask target averages


class Target(TypedDict):
    """The N cells of one crop.

    Attributes:
        boxes: float32[N, 4], x0, y0, x1, y1 in pixels.
        labels: int64[N], 1 + the type.
        planes: int32[L, h, w], label planes.
        plane: int64[N], the plane of each cell.
        value: int64[N], the label of each cell on its plane.
    """

    boxes: Tensor
    labels: Tensor
    planes: Tensor
    plane: Tensor
    value: Tensor


def crop_target(planes: NDArray[np.int32], cell_type: NDArray[np.int16]) -> Target:
    """Create the target of label planes int32[L, h, w]; cells without pixels are dropped."""
    rows = []
    for plane, labels in enumerate(planes):
        for index, place in enumerate(ndimage.find_objects(labels)):
            if place is not None:
                row, col = place
                rows.append((plane, index + 1, col.start, row.start, col.stop, row.stop))
    found = np.array(rows, np.int64).reshape(-1, 6)
    return {
        "boxes": torch.from_numpy(found[:, 2:].astype(np.float32)),
        "labels": torch.from_numpy(cell_type[found[:, 1] - 1].astype(np.int64) + 1),
        "planes": torch.from_numpy(np.ascontiguousarray(planes)),
        "plane": torch.from_numpy(found[:, 0].copy()),
        "value": torch.from_numpy(found[:, 1].copy()),
    }


def mask_targets(target: Target, boxes: Tensor, cells: Tensor, side: int) -> Tensor:
    """Compute mask targets, float32[R, side, side]: 1 where a cell covers at least half of a bin.

    The planes are sampled point by point, so that no cell becomes a full-size mask.

    Args:
        target: The target of the crop.
        boxes: float[R, 4].
        cells: int64[R], the cell of each region.
        side: The number of bins along each axis.
    """
    points = side * SAMPLING
    steps = (torch.arange(points, device=boxes.device) + 0.5) / points
    low, sides = boxes[:, :2], boxes[:, 2:] - boxes[:, :2]
    height, width = target["planes"].shape[1:]
    x = (low[:, :1] + steps * sides[:, :1]).long().clamp(0, width - 1)
    y = (low[:, 1:] + steps * sides[:, 1:]).long().clamp(0, height - 1)
    plane, value = target["plane"][cells], target["value"][cells]
    seen = target["planes"][plane[:, None, None], y[:, :, None], x[:, None, :]]
    inside = (seen == value[:, None, None]).float()
    bins = inside.reshape(len(boxes), side, SAMPLING, side, SAMPLING).mean(dim=(2, 4))
    return (bins >= 0.5).float()


def type_layers(target: Target, types: int) -> Tensor:
    """Return layers, float32[T, h, w], that are 1 where a cell of the type lies on any plane."""
    planes = target["planes"].long()
    kind = torch.zeros(int(planes.max()) + 1, dtype=torch.long, device=planes.device)
    kind[target["value"]] = target["labels"]
    kinds = kind[planes]
    return torch.stack([(kinds == each + 1).any(dim=0) for each in range(types)]).float()

"""Targets of a detector for a crop."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.ops import roi_align

from bigkingxxl.detection.targets import crop_target, mask_targets


def planes_of(*boxes: tuple[int, int, int, int], size: int = 64) -> NDArray[np.int32]:
    """Each box (row0, col0, row1, col1) on a plane of its own; None leaves a number unused."""
    planes = np.zeros((len(boxes), size, size), np.int32)
    for index, (row0, col0, row1, col1) in enumerate(boxes):
        planes[index, row0:row1, col0:col1] = index + 1
    return planes


def test_boxes_types_and_planes_follow_from_the_pixels() -> None:
    planes = planes_of((2, 3, 10, 20), (5, 5, 40, 9))
    target = crop_target(planes, np.array([2, 0], np.int16))
    assert target["boxes"].tolist() == [[3, 2, 20, 10], [5, 5, 9, 40]]
    assert target["labels"].tolist() == [3, 1]
    assert target["plane"].tolist() == [0, 1]
    assert target["value"].tolist() == [1, 2]


def test_cells_without_pixels_in_the_crop_are_not_there() -> None:
    planes = planes_of((2, 3, 10, 20))
    target = crop_target(planes, np.array([0, 1, 2], np.int16))
    assert target["value"].tolist() == [1]
    empty = crop_target(np.zeros((1, 8, 8), np.int32), np.array([0], np.int16))
    assert empty["boxes"].shape == (0, 4)
    assert len(empty["labels"]) == 0


def test_a_cell_of_one_pixel_has_a_box_with_an_area() -> None:
    target = crop_target(planes_of((7, 7, 8, 8)), np.array([0], np.int16))
    low, high = target["boxes"][:, :2], target["boxes"][:, 2:]
    assert bool((high > low).all())


def test_a_region_that_is_its_cells_box_is_full_where_the_cell_is_a_rectangle() -> None:
    target = crop_target(planes_of((4, 6, 24, 50), (10, 10, 20, 30)), np.zeros(2, np.int16))
    masks = mask_targets(target, target["boxes"], torch.tensor([0, 1]), 28)
    assert bool((masks == 1).all())


def test_a_region_twice_as_wide_is_half_full() -> None:
    target = crop_target(planes_of((8, 8, 24, 24)), np.zeros(1, np.int16))
    wide = torch.tensor([[8.0, 8.0, 40.0, 24.0]])
    masks = mask_targets(target, wide, torch.tensor([0]), 28)
    assert bool((masks[0, :, :14] == 1).all())
    assert bool((masks[0, :, 14:] == 0).all())


def test_masks_are_those_that_roi_align_makes_of_whole_masks() -> None:
    rng = np.random.default_rng(0)
    rows, cols = np.mgrid[:96, :96]
    planes = np.zeros((12, 96, 96), np.int32)
    for index in range(12):
        row, col = rng.uniform(25, 70, 2)
        tall, wide = rng.uniform(8, 20, 2)
        planes[index][((rows - row) / tall) ** 2 + ((cols - col) / wide) ** 2 < 1] = index + 1
    target = crop_target(planes, np.zeros(12, np.int16))
    boxes = target["boxes"] + torch.from_numpy(rng.uniform(-3, 3, (12, 4)).astype(np.float32))
    ours = mask_targets(target, boxes, torch.arange(12), 28)
    whole = torch.from_numpy((planes == np.arange(1, 13)[:, None, None]).astype(np.float32))
    regions = torch.cat((torch.arange(12)[:, None].float(), boxes), dim=1)
    theirs = roi_align(whole[:, None], regions, 28, sampling_ratio=4, aligned=True)[:, 0] >= 0.5
    assert float((ours.bool() == theirs).float().mean()) > 0.97
    overlap = (ours.bool() & theirs).sum() / (ours.bool() | theirs).sum()
    assert float(overlap) > 0.96

"""RoI masks as candidates, compared with torchvision's full-frame paste."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torchvision.models.detection.roi_heads import paste_masks_in_image

from bigkingxxl.candidates import Candidates
from bigkingxxl.detection import masks
from bigkingxxl.detection.box_stage import Regions
from bigkingxxl.detection.masks import mask_candidates, mask_loss, mean_inside
from bigkingxxl.detection.targets import crop_target

SIZE = (120, 150)


def candidates_of(boxes: NDArray[np.float32], probability: NDArray[np.float32]) -> Candidates:
    count = len(boxes)
    types = np.ones((count, 1), np.float32)
    return mask_candidates(SIZE, boxes, probability, np.ones(count, np.float32), types, ("cell",))


def discs(count: int, side: int = 28) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Random boxes with a soft disc in each."""
    rng = np.random.default_rng(3)
    low = rng.uniform(0, (SIZE[1] - 50, SIZE[0] - 50), (count, 2))
    boxes = np.hstack((low, low + rng.uniform(8, 45, (count, 2)))).astype(np.float32)
    steps = (np.arange(side) + 0.5) / side - 0.5
    radius = np.hypot(*np.meshgrid(steps, steps))
    soft = 1 / (1 + np.exp((radius - 0.38) * 40))
    return boxes, np.repeat(soft[None], count, axis=0).astype(np.float32)


def test_masks_lie_where_torchvision_pastes_them() -> None:
    boxes, probability = discs(40)
    found = candidates_of(boxes, probability)
    pasted = paste_masks_in_image(
        torch.from_numpy(probability)[:, None], torch.from_numpy(boxes), SIZE, padding=1
    )[:, 0].numpy()
    for index in range(len(found)):
        frame = np.zeros(SIZE, bool)
        row0, col0, row1, col1 = found.boxes[index]
        frame[row0:row1, col0:col1] = found.crop(index) > 127
        theirs = pasted[index] > 0.5
        # torchvision rounds boxes to whole pixels: up to half a pixel on every side.
        assert (frame & theirs).sum() / (frame | theirs).sum() > 0.78
    areas = [(found.crop(i) > 127).sum() for i in range(len(found))]
    expected = 0.38**2 * np.pi * np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    np.testing.assert_allclose(areas, expected, rtol=0.2)
    assert abs(np.sum(areas) / np.sum(expected) - 1) < 0.01


def test_a_box_of_as_many_pixels_as_bins_keeps_every_value() -> None:
    rng = np.random.default_rng(0)
    probability = rng.random((1, 28, 28)).astype(np.float32)
    found = candidates_of(np.array([[10, 20, 38, 48]], np.float32), probability)
    assert found.boxes.tolist() == [[20, 10, 48, 38]]
    np.testing.assert_array_equal(found.crop(0), np.rint(probability[0] * 255))


def test_values_between_bins_are_bilinear() -> None:
    ramp = np.tile(np.linspace(0, 1, 28, dtype=np.float32), (28, 1))[None]
    found = candidates_of(np.array([[0, 0, 56, 56]], np.float32), ramp)
    expected = np.clip((np.arange(56) + 0.5) / 2 - 0.5, 0, 27) / 27
    np.testing.assert_allclose(found.crop(0)[5] / 255, expected, atol=0.003)


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    boxes, probability = discs(30)
    whole = candidates_of(boxes, probability)
    monkeypatch.setattr(masks, "CHUNK", 700)
    parts = candidates_of(boxes, probability)
    np.testing.assert_array_equal(whole.probability, parts.probability)
    np.testing.assert_array_equal(whole.offsets, parts.offsets)


def test_no_region_is_no_candidate() -> None:
    found = candidates_of(np.zeros((0, 4), np.float32), np.zeros((0, 28, 28), np.float32))
    assert len(found) == 0


def test_mean_inside_is_the_mean_above_a_half() -> None:
    probability = np.zeros((2, 4, 4), np.float32)
    probability[0, 0] = (0.9, 0.7, 0.4, 0.1)
    np.testing.assert_allclose(mean_inside(probability), (0.8, 0.0), rtol=1e-6)


def test_the_loss_decreases_towards_the_cell() -> None:
    planes = np.zeros((1, 32, 32), np.int32)
    planes[0, 4:20, 8:24] = 1
    target = crop_target(planes, np.array([1], np.int16))
    region = Regions(torch.tensor([[8.0, 4.0, 40.0, 20.0]]), torch.tensor([0]), torch.tensor([2]))
    right = torch.full((1, 1, 28, 28), -8.0)
    right[..., :14] = 8.0
    assert float(mask_loss(right, [region], [target])) < 0.01
    assert float(mask_loss(-right, [region], [target])) > 5
    # One mask per type: the others do not count.
    by_type = torch.stack((-right[:, 0], -right[:, 0], right[:, 0]), dim=1)
    assert float(mask_loss(by_type, [region], [target])) < 0.01


def test_without_positive_regions_the_loss_is_zero_and_differentiable() -> None:
    logits = torch.zeros(0, 1, 28, 28, requires_grad=True)
    loss = mask_loss(logits, [], [])
    loss.backward()
    assert float(loss.detach()) == 0


def test_crops_have_the_areas_of_their_boxes() -> None:
    boxes, probability = discs(12)
    found = candidates_of(boxes, probability)
    sizes = [b - a for a, b in pairwise(found.offsets.tolist())]
    assert sizes == (found.heights * found.widths).tolist()

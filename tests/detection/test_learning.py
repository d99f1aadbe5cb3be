"""Matching, sampling and the losses of one or three stages."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead

from bigkingxxl.detection.box_coding import BoxCoder
from bigkingxxl.detection.box_stage import box_losses, first_regions, labelled, refined
from bigkingxxl.detection.targets import Target, crop_target
from bigkingxxl.networks import matching
from bigkingxxl.networks.matching import match_anchors, sample

CODER = BoxCoder((10.0, 10.0, 5.0, 5.0))


def target_of(*boxes: tuple[int, int, int, int], types: tuple[int, ...] = ()) -> Target:
    planes = np.zeros((max(len(boxes), 1), 64, 64), np.int32)
    for index, (row0, col0, row1, col1) in enumerate(boxes):
        planes[index, row0:row1, col0:col1] = index + 1
    return crop_target(planes, np.array(types or (0,) * len(boxes), np.int16))


@pytest.mark.parametrize("chunk", [10**9, 50])
def test_anchors_are_matched_as_torchvision_matches_them(
    chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matching, "CHUNK", chunk)
    generator = torch.Generator().manual_seed(0)
    low = torch.rand(400, 2, generator=generator) * 80
    anchors = torch.cat((low, low + 4 + torch.rand(400, 2, generator=generator) * 30), dim=1)
    truth = anchors[:60] + torch.rand(60, 4, generator=generator) * 4
    truth = torch.cat((truth, torch.tensor([[500.0, 500.0, 510.0, 510.0]])))  # no anchor matches it
    labels, index = match_anchors(anchors, truth, 0.7, 0.3)
    anchor_maker = AnchorGenerator(((8,),), ((1.0,),))
    reference = RegionProposalNetwork(
        anchor_maker, RPNHead(4, 1), 0.7, 0.3, 8, 0.5, {"training": 1, "testing": 1},
        {"training": 1, "testing": 1}, 0.7,
    )  # fmt: skip
    theirs, boxes = reference.assign_targets_to_anchors([anchors], [{"boxes": truth[:-1]}])
    assert torch.equal(labels, theirs[0])
    positive = labels == 1
    assert torch.equal(truth[index][positive], boxes[0][positive])


def test_without_cells_all_anchors_are_background() -> None:
    labels, _ = match_anchors(torch.rand(9, 4), torch.zeros(0, 4), 0.7, 0.3)
    assert labels.tolist() == [0.0] * 9


def test_sampling_limits_the_fraction_of_positives() -> None:
    torch.manual_seed(0)
    positive = torch.arange(100) < 60
    chosen = sample(positive, 40, 0.25)
    assert len(chosen) == len(set(chosen.tolist())) == 40
    assert int(positive[chosen].sum()) == 10
    few = sample(torch.arange(100) < 3, 40, 0.25)
    assert int((few < 3).sum()) == 3


def test_annotated_boxes_are_among_the_regions_and_labelled_by_type() -> None:
    target = target_of((4, 4, 20, 20), (30, 30, 50, 44), types=(1, 0))
    far = torch.tensor([[55.0, 2.0, 62.0, 9.0]])
    regions = first_regions(far, target, 0.5, 8, 0.9)
    found = {
        tuple(box): label
        for box, label in zip(regions.boxes.tolist(), regions.labels.tolist(), strict=True)
    }
    assert found == {(4, 4, 20, 20): 2, (30, 30, 44, 50): 1, (55, 2, 62, 9): 0}


def test_later_stages_ask_for_more_overlap() -> None:
    target = target_of((0, 0, 20, 20))
    box = torch.tensor([[0.0, 0.0, 20.0, 31.0]])  # IoU 0.645
    assert [labelled(box, target, iou).labels.tolist() for iou in (0.5, 0.6, 0.7)] == [
        [1],
        [1],
        [0],
    ]


def test_perfect_deltas_have_no_loss_and_give_the_cell() -> None:
    target = target_of((8, 10, 30, 40), types=(1,))
    start = torch.tensor([[12.0, 6.0, 44.0, 28.0], [50.0, 50.0, 60.0, 60.0]])
    regions = labelled(start, target, 0.5)
    deltas = CODER.encode(target["boxes"].repeat(2, 1), start)
    logits = torch.tensor([[-9.0, -9.0, 9.0], [9.0, -9.0, -9.0]])
    types, boxes = box_losses(logits, deltas, [regions], [target], CODER)
    assert float(types) < 1e-5
    assert float(boxes) < 1e-6
    moved = refined(start[:1], deltas[:1], CODER, (64, 64))
    np.testing.assert_allclose(moved, target["boxes"], atol=1e-4)


def test_boxes_by_type_use_the_deltas_of_their_own_type() -> None:
    target = target_of((8, 10, 30, 40), types=(1,))
    start = torch.tensor([[12.0, 6.0, 44.0, 28.0]])
    wanted = CODER.encode(target["boxes"], start)
    deltas = torch.cat((wanted + 3, wanted + 5, wanted), dim=1)
    regions = labelled(start, target, 0.5)
    _, right = box_losses(torch.zeros(1, 3), deltas, [regions], [target], CODER)
    _, wrong = box_losses(torch.zeros(1, 3), deltas.flip(1), [regions], [target], CODER)
    assert float(right) < 1e-6 < float(wrong)


def test_boxes_stay_in_the_image_and_keep_an_area() -> None:
    boxes = torch.tensor([[60.0, 60.0, 64.0, 64.0], [1.0, 1.0, 3.0, 3.0]])
    deltas = torch.tensor([[900.0, 900.0, -90.0, -90.0], [-90.0, 0.0, -90.0, -90.0]])
    moved = refined(boxes, deltas, CODER, (64, 64))
    sides = moved[:, 2:] - moved[:, :2]
    assert bool((sides > 0).all())
    assert float(moved.min()) >= 0
    assert float(moved.max()) <= 64


def test_only_background_trains_the_type_alone() -> None:
    target = target_of()
    regions = labelled(torch.tensor([[1.0, 1.0, 9.0, 9.0]]), target, 0.5)
    logits = torch.zeros(1, 3, requires_grad=True)
    deltas = torch.ones(1, 4, requires_grad=True)
    types, boxes = box_losses(logits, deltas, [regions], [target], CODER)
    (types + boxes).backward()
    assert float(boxes.detach()) == 0
    assert logits.grad is not None
    assert float(logits.grad[0, 0]) < 0 < float(logits.grad[0, 1])

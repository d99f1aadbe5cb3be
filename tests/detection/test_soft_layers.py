"""Soft pasting: the same place as hard pasting, with gradients, in bounded memory."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torchvision.models.detection.roi_heads import paste_masks_in_image

from bigkingxxl.detection import soft_layers as module
from bigkingxxl.detection.soft_layers import soft_layers

SIZE = (120, 150)


def regions(count: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Random boxes inside the frame with a soft disc in each."""
    rng = torch.Generator().manual_seed(seed)
    low = torch.rand((count, 2), generator=rng) * torch.tensor([SIZE[1] - 60.0, SIZE[0] - 60.0])
    boxes = torch.cat((low, low + 8 + torch.rand((count, 2), generator=rng) * 50), dim=1)
    steps = (torch.arange(28) + 0.5) / 28 - 0.5
    radius = torch.hypot(steps[:, None], steps[None])
    return boxes, torch.sigmoid((0.38 - radius) * 40).expand(count, -1, -1).clone()


def test_one_region_cut_at_a_half_is_its_hard_paste() -> None:
    boxes, masks = regions(30)
    for box, mask in zip(boxes, masks, strict=True):
        soft = soft_layers(box[None], mask[None], torch.ones(1, 1), SIZE)[0] > 0.5
        hard = paste_masks_in_image(mask[None, None], box[None], SIZE)[0, 0] > 0.5
        union = (soft | hard).sum()
        # torchvision rounds boxes to whole pixels: up to half a pixel on every side.
        assert float((soft & hard).sum() / union) > 0.78


def test_a_layer_is_the_chance_that_any_region_covers_the_pixel() -> None:
    boxes, masks = regions(12)
    types = torch.rand(12, 3, generator=torch.Generator().manual_seed(1))
    ones = torch.ones(1, 1)
    single = torch.cat(
        [soft_layers(b[None], m[None], ones, SIZE) for b, m in zip(boxes, masks, strict=True)]
    )
    expected = 1 - torch.prod(1 - types.T[:, :, None, None] * single, dim=1)
    assert torch.allclose(soft_layers(boxes, masks, types, SIZE), expected, atol=1e-3)


def test_gradients_are_those_of_finite_differences() -> None:
    boxes, masks = regions(3)
    masks = masks[:, ::4, ::4].double()
    types = torch.full((3, 2), 0.6, dtype=torch.float64)
    weights = torch.rand((2, *SIZE), generator=torch.Generator().manual_seed(2))

    def score(masks: torch.Tensor) -> torch.Tensor:
        return (soft_layers(boxes, masks, types, SIZE) * weights).sum()

    leaf = masks.clone().requires_grad_()
    (slope,) = torch.autograd.grad(score(leaf), leaf)
    direction = torch.rand(masks.shape, generator=torch.Generator().manual_seed(3)).double()
    step = 1e-2
    rise = (score(masks + step * direction) - score(masks - step * direction)) / (2 * step)
    assert float((slope * direction).sum()) == pytest.approx(float(rise), rel=1e-2)


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    boxes, masks = regions(40)
    types = torch.full((40, 2), 0.5)
    whole = soft_layers(boxes, masks, types, SIZE)
    monkeypatch.setattr(module, "CHUNK", 1)
    assert torch.allclose(soft_layers(boxes, masks, types, SIZE), whole, atol=1e-6)


def test_no_region_is_an_empty_frame() -> None:
    nothing = soft_layers(torch.zeros(0, 4), torch.zeros(0, 28, 28), torch.zeros(0, 2), SIZE)
    assert nothing.shape == (2, *SIZE)
    assert not nothing.any()


PASTE = """
import resource, torch
from bigkingxxl.detection.soft_layers import soft_layers
for count in (20, 200):
    low = torch.rand(count, 2) * 800
    boxes = torch.cat((low, low + 200), dim=1)
    masks = torch.rand(count, 28, 28, requires_grad=True)
    soft_layers(boxes, masks, torch.full((count, 3), 0.5), (1024, 1024)).sum().backward()
    assert masks.grad.abs().sum() > 0
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_200_regions_need_hardly_more_memory_than_20() -> None:
    """200 of 200 x 200 pixels: 32 MB a number of all pasted pixels, of which there are ten."""
    pytest.importorskip("resource")
    done = subprocess.run([sys.executable, "-c", PASTE], capture_output=True, text=True, check=True)
    few, many = (int(line) / 1024 for line in done.stdout.splitlines())
    assert many - few < 180

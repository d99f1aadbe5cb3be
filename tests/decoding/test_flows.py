"""Flows: targets and masks compared with cellpose's, the loss by gradients, the parameters.

`data/flow_reference.npz` is what cellpose 3 made of the fields in `tests/decoding/flow_fields.py`,
which says how to make it anew. If cellpose is importable, it is also called live.
"""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy import ndimage

from bigkingxxl.decoding.base import Channel
from bigkingxxl.decoding.flow_masks import cells_from_flows
from bigkingxxl.decoding.flow_targets import label_flows, plane_flows
from bigkingxxl.decoding.flows import Flows, FlowsSettings
from bigkingxxl.decoding.registry import make_representation
from bigkingxxl.errors import SettingsError
from bigkingxxl.evaluation.competition_map import match_counts
from bigkingxxl.geometry import SYMMETRIES, Symmetry
from bigkingxxl.inference.dense_predictor import turn_vectors
from bigkingxxl.instances import Instances
from bigkingxxl.io.annotations.kaggle import read_annotations
from tests.decoding.flow_fields import (
    REFERENCE,
    SEEN_PARTS,
    best_iou,
    cell_field,
    cellpose_flows,
    cellpose_masks,
    network_like,
    neurite_field,
)

Float32 = NDArray[np.float32]
TYPES = ("astro", "cort", "shsy5y")
# The mean of its pixels is equally near to two of them.
TWO_CENTRES = [[0, 1], [0, 1], [1, 1], [1, 1], [1, 0], [1, 1], [1, 1], [1, 1], [1, 1]]


def disc_maps(types: int = 3) -> tuple[NDArray[np.int32], NDArray[np.int16], Float32]:
    """Planes of three touching discs of different types, their types, and the maps of both."""
    row, col = np.indices((40, 80))
    planes = np.zeros((1, 40, 80), np.int32)
    for cell, middle in enumerate((15, 37, 60)):
        planes[0][(row - 20.3) ** 2 + (col - middle - 0.2) ** 2 <= 121] = cell + 1
    cell_type = np.array([2, 0, 1], np.int16) if types == 3 else np.zeros(3, np.int16)
    maps = Flows(TYPES[:types]).targets(planes, cell_type)
    return planes, cell_type, maps


def naive_heat(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Cellpose's heat of one cell bool[h, w], by its definition."""
    places: list[list[int]] = np.argwhere(mask).tolist()
    middle = [Fraction(sum(side), len(places)) for side in zip(*places, strict=True)]
    # Fractions avoid rounding: of pixels that are equally near, take the first.
    centre = min(
        [(row, col) for row, col in places],
        key=lambda place: (place[0] - middle[0]) ** 2 + (place[1] - middle[1]) ** 2,
    )
    extent = np.ptp(np.array(places), axis=0) + 1
    heat = np.zeros(mask.shape)
    for _ in range(2 * (int(extent.sum()) + 4)):
        heat[centre] += 1
        heat = ndimage.convolve(heat, np.full((3, 3), 1 / 9), mode="constant") * mask
    return heat


# ---- targets ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["cells", "neurites"])
def test_targets_are_cellposes(name: str) -> None:
    stored = np.load(REFERENCE)
    inside = stored[f"{name}_labels"] > 0
    ours, theirs = label_flows(stored[f"{name}_labels"]), stored[f"{name}_flows"]
    gap = np.abs(ours - theirs)[:, inside]
    assert gap.mean() < 0.001  # float16 in the file alone makes 0.0001; the goal is 0.01
    assert np.percentile(gap, 99) < 0.01
    assert not ours[:, ~inside].any()


@pytest.mark.parametrize("field", [cell_field(11), neurite_field(12)], ids=["cells", "neurites"])
def test_targets_are_those_of_the_installed_cellpose(field: NDArray[np.int32]) -> None:
    _cellpose()
    gap = np.abs(label_flows(field) - cellpose_flows(field))[:, field > 0]
    assert gap.mean() < 1e-4


def _cellpose() -> None:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip(
            "cellpose.dynamics",
            reason="cellpose 3 is not on the path (it has to stay out of the environment); its "
            "stored answers are compared instead",
        )


@given(hnp.arrays(np.int32, st.tuples(st.integers(1, 9), st.integers(1, 9)),
                  elements=st.sampled_from([0, 1, 3, 70_000])))  # fmt: skip
@example(labels=np.array(TWO_CENTRES, np.int32))
def test_every_cells_flow_is_the_gradient_of_its_own_heat(labels: NDArray[np.int32]) -> None:
    flows = label_flows(labels)
    for label in np.unique(labels[labels > 0]):
        mask = np.pad(labels == label, 1)
        heat = naive_heat(mask)
        slope = np.stack((heat[2:, 1:-1] - heat[:-2, 1:-1], heat[1:-1, 2:] - heat[1:-1, :-2]))
        steepness = np.hypot(*slope)
        # Where the heat is level, rounding decides the direction, here as in cellpose.
        clear = (labels == label) & (steepness > 1e-4 * heat[1:-1, 1:-1]) & (steepness > 0)
        np.testing.assert_allclose(
            flows[:, clear], (slope / (steepness + 1e-60))[:, clear], atol=2e-3
        )
        cold = (labels == label) & (heat[1:-1, 1:-1] == 0) & (steepness == 0)
        assert not flows[:, cold].any()


def test_a_row_of_five_pixels_points_to_its_middle() -> None:
    flows = label_flows(np.array([[0, 0, 0, 0, 0, 0, 0], [0, 7, 7, 7, 7, 7, 0]]))
    assert flows[1, 1].tolist() == [0, 1, 1, 0, -1, -1, 0]
    assert not flows[0].any()


@pytest.mark.parametrize("symmetry", SYMMETRIES, ids=str)
def test_targets_turn_with_the_cells(symmetry: Symmetry) -> None:
    planes, cell_type, maps = disc_maps()
    turned = Flows(TYPES).targets(np.ascontiguousarray(symmetry.apply(planes)), cell_type)
    moved = turn_vectors(np.array(symmetry.apply(maps)), symmetry, Flows(TYPES).channels)
    # Apart from rounding, the middle pixel of a symmetric cell has no direction.
    np.testing.assert_allclose(np.percentile(np.abs(turned - moved), 99.5), 0, atol=1e-3)


def test_the_smaller_of_two_overlapping_cells_is_on_top() -> None:
    planes = np.zeros((2, 30, 30), np.int32)
    planes[0, 2:28, 2:28] = 1
    planes[1, 4:11, 6:13] = 2
    flows, top = plane_flows(planes)
    assert (top == np.where(planes[1] > 0, 2, planes[0])).all()
    inside = planes[1] > 0
    np.testing.assert_array_equal(flows[:, inside], label_flows(planes[1])[:, inside])
    np.testing.assert_array_equal(flows[:, ~inside], label_flows(planes[0])[:, ~inside])
    maps = Flows(TYPES).targets(planes[::-1], np.array([1, 2], np.int16))
    assert maps[0].sum() == 26 * 26
    assert (maps[5] == inside).all()
    assert (maps[4] == (planes[0] > 0) & ~inside).all()


def test_targets_without_cells_are_all_zero() -> None:
    maps = Flows(TYPES).targets(np.zeros((1, 8, 9), np.int32), np.zeros(0, np.int16))
    assert maps.shape == (6, 8, 9)
    assert not maps.any()


def test_types_are_one_hot_on_the_foreground() -> None:
    planes, cell_type, maps = disc_maps()
    np.testing.assert_array_equal(maps[3:].sum(axis=0), maps[0])
    for cell, kind in enumerate(cell_type):
        assert maps[3 + kind][planes[0] == cell + 1].all()


def test_the_boundary_lies_inside_the_cells() -> None:
    planes = np.zeros((1, 6, 9), np.int32)
    planes[0, 1:5, 1:5], planes[0, 1:5, 5:9] = 1, 2
    maps = Flows(("cell",), FlowsSettings(boundary=True)).targets(planes, np.zeros(2, np.int16))
    expected = np.zeros((6, 9))
    expected[1:5, 1:9] = 1
    expected[2:4, [2, 3, 6, 7, 8]] = 0  # the image's border is no boundary
    np.testing.assert_array_equal(maps[3], expected)


@pytest.mark.parametrize(
    ("types", "boundary", "names"),
    [
        (1, False, "foreground flow_row flow_column"),
        (1, True, "foreground flow_row flow_column boundary"),
        (2, False, "foreground flow_row flow_column type_astro type_cort"),
        (2, True, "foreground flow_row flow_column type_astro type_cort boundary"),
    ],
)
def test_channels(types: int, boundary: bool, names: str) -> None:
    flows = make_representation("flows", TYPES[:types], {"boundary": boundary})
    assert [channel.name for channel in flows.channels] == names.split()
    assert flows.channels[1:3] == (
        Channel("flow_row", "row", "identity"),
        Channel("flow_column", "column", "identity"),
    )
    for channel in flows.channels[3:]:
        assert channel.activation == ("sigmoid" if channel.name == "boundary" else "softmax")
    planes, cell_type = disc_maps(types=1)[:2]
    assert len(flows.targets(planes, cell_type)) == len(flows.channels)


# ---- decoding -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["cells", "neurites"])
def test_masks_are_cellposes(name: str) -> None:
    stored = np.load(REFERENCE)
    flows = stored[f"{name}_seen"].astype(np.float32) / SEEN_PARTS
    masks = stored[f"{name}_masks"]
    ours = cells_from_flows(flows, stored[f"{name}_logits"] > 0).label_map
    assert masks.max() >= 9
    assert (best_iou(masks, ours) > 0.99).mean() > 0.99
    assert (best_iou(ours, masks) > 0.99).mean() > 0.99


@pytest.mark.parametrize("noise", [0.0, 0.15, 0.3])
@pytest.mark.parametrize("field", [cell_field(21), neurite_field(22)], ids=["cells", "neurites"])
def test_masks_are_those_of_the_installed_cellpose(field: NDArray[np.int32], noise: float) -> None:
    _cellpose()
    flows, logits = network_like(label_flows(field), field > 0, seed=4, noise=noise)
    masks, ours = cellpose_masks(flows, logits), cells_from_flows(flows, logits > 0).label_map
    assert (best_iou(masks, ours) > 0.99).mean() > 0.97
    assert abs(int(masks.max()) - int(ours.max())) <= 1


def test_fewer_steps_are_those_of_the_installed_cellpose() -> None:
    _cellpose()
    from cellpose.dynamics import follow_flows

    from bigkingxxl.decoding.flow_dynamics import end_points

    field = neurite_field(5)
    flows = label_flows(field)
    for steps in (1, 2, 7, 13, 30):
        theirs = follow_flows(flows, np.nonzero(field), steps).astype(np.int64)
        ours = np.stack(np.divmod(end_points(flows, field > 0, steps), field.shape[1]))
        assert (np.abs(ours - theirs).max(axis=0) <= 1).mean() > 0.995


def test_own_targets_give_the_cells_back() -> None:
    planes, cell_type, maps = disc_maps()
    found = Flows(TYPES).decode(maps)
    assert len(found) == 3
    labels = np.zeros((40, 80), np.int32)
    owner, row, col = found.pixels()
    inside = found.probability > 127
    labels[row[inside], col[inside]] = owner[inside] + 1
    assert (best_iou(planes[0], labels) > 0.99).all()
    assert found.type_probability is not None
    assert sorted(found.type_probability.argmax(axis=1)) == sorted(cell_type)
    assert (found.score > 0.95).all()


def test_a_score_is_foreground_times_one_minus_the_flow_error() -> None:
    maps = disc_maps()[2]
    sure = Flows(TYPES).decode(maps).score
    faint = maps.copy()
    faint[0] *= 0.75
    np.testing.assert_allclose(Flows(TYPES).decode(faint).score, 0.75 * sure, rtol=1e-5)
    # Flows half as long differ from the mask's by a half everywhere: an error of a quarter.
    short = maps.copy()
    short[1:3] *= 0.5
    np.testing.assert_allclose(Flows(TYPES).decode(short).score, 0.75, atol=0.01)


def test_flow_error_drops_inconsistent_masks() -> None:
    planes, _, maps = disc_maps()
    worse = planes[0] == 2
    maps[1:3, worse] *= 0.3  # an error of 0.49, above the default of 0.4
    flows = Flows(TYPES)
    assert len(flows.decode(maps)) == 2
    kept = flows.decode(maps, {"flow_error": 0.6})
    assert len(kept) == 3
    np.testing.assert_allclose(sorted(kept.score)[0], 1 - 0.7**2, atol=0.02)


def test_minimum_area_and_foreground_threshold_are_parameters() -> None:
    planes, _, maps = disc_maps()
    area = np.bincount(planes.ravel())[1:]
    flows = Flows(TYPES)
    for least in (int(area.min()), int(area.min()) + 1, int(area.max()) + 1):
        assert len(flows.decode(maps, {"minimum_area": least})) == (area >= least).sum()
    maps[0] *= 0.6
    assert len(flows.decode(maps, {"foreground_threshold": 0.7})) == 0
    with pytest.raises(SettingsError, match="flow_error"):
        flows.decode(maps, {"flow_eror": 0.4})


@pytest.mark.parametrize("size", [(1, 1), (1, 30), (7, 5)])
def test_maps_without_cells_give_no_candidates(size: tuple[int, int]) -> None:
    flows = Flows(TYPES)
    for level in (0.0, 1.0):  # all foreground, but no flow: every pixel stays where it is
        maps = np.full((6, *size), 0, np.float32)
        maps[0] = level
        found = flows.decode(maps)
        assert len(found) == 0
        assert found.size == size
    assert flows.type_weights(np.zeros((6, *size), np.float32)) is None


def test_type_weights_are_the_foregrounds() -> None:
    maps = disc_maps()[2]
    weights = Flows(TYPES).type_weights(maps)
    assert weights is not None
    np.testing.assert_allclose(weights, maps[3:].sum(axis=(1, 2)))
    assert Flows(("cell",)).type_weights(maps[:3]) is None


def test_decoding_needs_no_torch() -> None:
    code = (
        "import sys, numpy as np\n"
        "from bigkingxxl.decoding.registry import make_representation\n"
        "flows = make_representation('flows', ('a', 'b'))\n"
        "planes = np.zeros((1, 20, 20), np.int32); planes[0, 3:15, 4:16] = 1\n"
        "assert len(flows.decode(flows.targets(planes, np.zeros(1, np.int16)))) == 1\n"
        "heavy = {'torch', 'monai', 'lightning', 'timm', 'numba', 'cellpose', 'cv2'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "[]", done.stderr


# ---- loss ---------------------------------------------------------------------------------------


def losses(settings: FlowsSettings | None = None, logits: Any = None) -> tuple[Any, Any, Any]:
    """Return the losses of logits (default: all 0) on the discs, with the logits and targets."""
    torch = pytest.importorskip("torch", reason="torch comes with the extra 'train'")
    flows = Flows(TYPES, settings)
    planes, cell_type, _ = disc_maps()
    targets = torch.from_numpy(flows.targets(planes, cell_type))[None]
    logits = torch.zeros_like(targets) if logits is None else logits
    logits.requires_grad_()
    found = flows.loss(logits=logits, targets=targets)
    found["loss"].backward()
    return found, logits.grad[0].numpy(), targets[0].numpy()


def test_the_loss_pulls_every_map_towards_its_target() -> None:
    _, grad, target = losses(FlowsSettings(boundary=True))
    inside = target[0] > 0
    assert (grad[0][inside] < 0).all()
    assert (grad[0][~inside] > 0).all()
    assert (np.sign(grad[1:3]) == -np.sign(target[1:3])).all()
    assert (grad[3:6][target[3:6] > 0] < 0).all()
    assert (grad[3:6][(target[3:6] == 0) & inside] > 0).all()
    assert not grad[3:6, ~inside].any()
    assert (np.sign(grad[6]) == np.where(target[6] > 0, -1, 1)).all()


def test_losses_at_zero_are_those_of_ignorance() -> None:
    found, _, target = losses()
    assert found["cross_entropy"].item() == pytest.approx(np.log(2), rel=1e-5)
    assert found["type"].item() == pytest.approx(np.log(3), rel=1e-5)
    assert found["flow"].item() == pytest.approx(12.5 * (target[1:3] ** 2).mean(), rel=1e-5)
    parts = ("cross_entropy", "dice", "flow", "type")
    assert found["loss"].item() == pytest.approx(sum(found[part].item() for part in parts))


def test_the_loss_is_zero_at_the_target() -> None:
    torch = pytest.importorskip("torch", reason="torch comes with the extra 'train'")
    target = losses(FlowsSettings(boundary=True))[2]
    logits = np.where(target > 0, 30, -30).astype(np.float32)
    logits[1:3] = target[1:3]
    found = losses(FlowsSettings(boundary=True), torch.from_numpy(logits)[None])[0]
    assert found["loss"].item() < 0.001


def test_types_have_no_loss_in_the_background() -> None:
    torch = pytest.importorskip("torch", reason="torch comes with the extra 'train'")
    flows = Flows(TYPES)
    found = flows.loss(logits=torch.zeros(2, 6, 8, 8), targets=torch.zeros(2, 6, 8, 8))
    assert found["type"].item() == 0
    assert torch.isfinite(found["loss"])


# ---- real annotations ---------------------------------------------------------------------------


@pytest.mark.parametrize(("cell_type", "least"), [("astro", 0.75), ("cort", 0.95), ("shsy5y", 0.9)])
def test_true_targets_of_real_cells_give_them_back(
    sartorius: Path, cell_type: str, least: float
) -> None:
    table = read_annotations(sartorius / "train.csv", skip_bad=True)
    scores = []
    for name in table.ids:
        cells = table.instances(name)
        if cells.type_names[cells.cell_type[0]] == cell_type:
            flows, top = plane_flows(cells.planes())
            found = cells_from_flows(flows, top > 0, flow_error=4.0, minimum_area=1)
            scores.append(match_counts(cells, Instances.from_label_map(found.label_map)).score)
        if len(scores) == 3:
            break
    assert np.mean(scores) > least

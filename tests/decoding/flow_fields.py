"""Label maps, network-like flows, and cellpose's answers to both, stored for the tests.

    PYTHONPATH=FOLDER_WITH_CELLPOSE_3 python -m tests.decoding.flow_fields

writes tests/decoding/data/flow_reference.npz with cellpose 3 (`uv pip install --target` puts it and
its dependencies into a folder of their own). Arrays, NAME being 'cells' and 'neurites':

    NAME_labels    int32[h, w]      a label map with gaps, touching cells, fragments, single pixels
    NAME_flows     float16[2, h, w] cellpose's flows of it
    NAME_seen      int8[2, h, w]    network-like flows times 64
    NAME_logits    int8[h, w]       network-like foreground logits times 16
    NAME_masks     uint16[h, w]     cellpose's masks of the two above, all defaults
"""

from __future__ import annotations

import io
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bigkingxxl.decoding.flow_targets import label_flows
from bigkingxxl.files import whole_file

REFERENCE = Path(__file__).parent / "data" / "flow_reference.npz"
SEEN_PARTS, LOGIT_PARTS = 64, 16

Float32 = NDArray[np.float32]


def cell_field(seed: int, size: tuple[int, int] = (128, 160), cells: int = 45) -> NDArray[np.int32]:
    """int32[h, w]: overlapping ellipses, labels with gaps, two single pixels."""
    rng = np.random.default_rng(seed)
    row, col = np.indices(size)
    labels = np.zeros(size, np.int32)
    for cell in range(cells):
        middle = rng.uniform((0, 0), size)
        radius = rng.uniform(4, 11, 2)
        angle = rng.uniform(0, np.pi)
        along = (row - middle[0]) * np.cos(angle) + (col - middle[1]) * np.sin(angle)
        across = (col - middle[1]) * np.cos(angle) - (row - middle[0]) * np.sin(angle)
        labels[(along / radius[0]) ** 2 + (across / radius[1]) ** 2 < 1] = 3 * cell + 2
    labels[0, 0], labels[-1, 7] = 3 * cells + 2, 3 * cells + 5
    return labels


def neurite_field(seed: int, size: tuple[int, int] = (128, 160)) -> NDArray[np.int32]:
    """int32[h, w]: bodies with long, thin, bent arms that touch and cut each other."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(size, np.int32)
    for cell in range(14):
        place, heading = rng.uniform((10, 10), np.array(size) - 10), rng.uniform(0, 2 * np.pi)
        ink = np.zeros(size, bool)
        for step in range(rng.integers(20, 60)):
            spot = np.clip(place.astype(int), 0, np.array(size) - 1)
            reach = max(1, 5 - step // 4)
            low = np.maximum(spot - reach, 0)
            ink[low[0] : spot[0] + reach, low[1] : spot[1] + reach] = True
            heading += rng.normal(0, 0.2)
            place = place + np.array((np.sin(heading), np.cos(heading)))
        labels[ink] = cell + 1
    return labels


def network_like(
    flows: Float32, foreground: NDArray[np.bool_], seed: int, *, noise: float = 0.25
) -> tuple[Float32, Float32]:
    """Flows float32[2, h, w] and foreground logits float32[h, w], as uncertain as a network's.

    Flows are blurred by a pixel, weakened by a tenth, and vary smoothly by `noise`. Logits are
    those of a blurred foreground and vary too.
    """
    rng = np.random.default_rng(seed)

    def wander(amount: float) -> Float32:
        field = ndimage.gaussian_filter(rng.normal(size=foreground.shape), 2)
        scaled: Float32 = (field * (amount / field.std())).astype(np.float32)
        return scaled

    seen = [ndimage.gaussian_filter(part, 1.0) + wander(noise) for part in flows]
    chance = ndimage.gaussian_filter(foreground.astype(np.float32), 1.0).clip(1e-3, 1 - 1e-3)
    logits = np.log(chance / (1 - chance)) + wander(3 * noise)
    return (0.9 * np.stack(seen)).astype(np.float32), logits.astype(np.float32)


def best_iou(labels: NDArray[Any], others: NDArray[Any]) -> NDArray[np.float64]:
    """float64[N]: for each label of the first map, the largest IoU with one of the second."""
    first = np.unique(labels, return_inverse=True)[1].reshape(labels.shape)
    second = np.unique(others, return_inverse=True)[1].reshape(others.shape)
    shape = (int(first.max()) + 1, int(second.max()) + 1)
    shared = np.bincount((first * shape[1] + second).ravel(), minlength=shape[0] * shape[1])
    table = shared.reshape(shape)
    # Row and column 0 are the background, which both maps have.
    union = table.sum(axis=1)[1:, None] + table.sum(axis=0)[None, 1:] - table[1:, 1:]
    best: NDArray[np.float64] = (table[1:, 1:] / union).max(axis=1, initial=0.0)
    return best


def cellpose_flows(labels: NDArray[np.int32]) -> NDArray[np.float64]:
    """float64[2, h, w] by cellpose 3 on the CPU."""
    from cellpose import dynamics

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        flows: NDArray[np.float64] = dynamics.masks_to_flows(_without_gaps(labels))
    return flows


def cellpose_masks(flows: Float32, logits: Float32) -> NDArray[np.uint16]:
    """uint16[h, w] by cellpose 3 on the CPU, all defaults, from unit flows and logits."""
    from cellpose import dynamics

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        masks: NDArray[np.uint16] = dynamics.resize_and_compute_masks(flows * 5, logits)
    return masks


def _without_gaps(labels: NDArray[np.int32]) -> NDArray[np.int64]:
    return np.unique(labels, return_inverse=True)[1].reshape(labels.shape).astype(np.int64)


def main() -> None:
    """Write the reference file."""
    arrays: dict[str, NDArray[Any]] = {}
    for name, labels in (("cells", cell_field(1)), ("neurites", neurite_field(2))):
        seen, logits = network_like(label_flows(labels), labels > 0, seed=3)
        coarse = np.rint(seen * SEEN_PARTS).clip(-127, 127).astype(np.int8)
        steps = np.rint(logits * LOGIT_PARTS).clip(-127, 127).astype(np.int8)
        arrays[f"{name}_labels"] = labels
        arrays[f"{name}_flows"] = cellpose_flows(labels).astype(np.float16)
        arrays[f"{name}_seen"], arrays[f"{name}_logits"] = coarse, steps
        arrays[f"{name}_masks"] = cellpose_masks(
            (coarse / SEEN_PARTS).astype(np.float32), (steps / LOGIT_PARTS).astype(np.float32)
        )
    with whole_file(REFERENCE) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.lib.format.write_array(content, array)
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            archive.writestr(entry, content.getvalue(), zipfile.ZIP_DEFLATED, 9)
    print(f"{REFERENCE}: {REFERENCE.stat().st_size} bytes")


if __name__ == "__main__":
    main()

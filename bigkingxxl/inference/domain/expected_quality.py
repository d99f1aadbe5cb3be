"""What prediction has at hand of how well it outlined an image; see `bigkingxxl.quality`.

Of a large image texture is read in windows spread over it, so that no more than these is held.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.candidates import Candidates
from bigkingxxl.geometry import Window, disc_diameter
from bigkingxxl.images import ImageSource, Normalisation
from bigkingxxl.inference.domain.appearance import block_means, sample_windows
from bigkingxxl.instances import Instances
from bigkingxxl.models import ModelCard

Float32 = NDArray[np.float32]
FIRST_HIT, ALL_HITS = 0.475, 0.975  # expected IoU that passes none, and all, of 0.50 to 0.95
BLOCKS_ACROSS = 2  # blocks of texture along a cell's diameter
SMALLEST_BLOCK = 2  # pixels
FEWEST_BLOCKS = 5  # covered ones, that say how cells look
UNSEEN = 0.05  # most of a block that cells cover where it counts as bare
FURTHEST_GAP = 2.0  # octaves between the size taken and the size found


def expected_quality(
    card: ModelCard, source: ImageSource, candidates: Candidates, cells: Instances
) -> float | None:
    """The segmentation accuracy to be expected of an image's cells.

    None where the model does not foretell it, or where no cell was found: what such an image holds
    nobody can tell from it.

    Args:
        candidates: everything seen in the image; cells: those selected from it.
    """
    if card.quality is None or len(cells) == 0:
        return None
    return card.quality.of(quality_values(source, candidates, cells, card.normalisation))


def quality_values(
    source: ImageSource, candidates: Candidates, cells: Instances, normalisation: Normalisation
) -> dict[str, float]:
    """By name, what is seen of an image's quality.

    `hits`: expected hits, over the IoU thresholds, of all cells found and of what was too unsure to
    be one. `rejected`: the share of all score that lies in the latter. `sureness`: the mean
    probability of the candidates' pixels. `bare_texture`: the share of the image that no cell
    covers though it is as textured as cells are. `size_gap`: octaves between the diameter of the
    cells found and that they were taken to have.
    """
    score = np.zeros(0) if cells.score is None else cells.score.astype(np.float64)
    known = candidates.score.astype(np.float64)
    unsure = known[known < score.min(initial=1.0)].sum()
    hits = np.clip((score - FIRST_HIT) / (ALL_HITS - FIRST_HIT), 0, 1).sum()
    inside = candidates.probability[candidates.probability > 127]
    return {
        "hits": float(hits / max(len(score) + unsure, 1e-6)),
        "rejected": float(unsure / max(known.sum(), 1e-6)),
        "sureness": float(inside.mean()) / 255 if len(inside) else 0.0,
        "bare_texture": bare_texture(source, cells, normalisation, candidates.cell_diameter),
        "size_gap": size_gap(cells, candidates.cell_diameter),
    }


def size_gap(cells: Instances, taken: float | None) -> float:
    """Octaves between the median diameter of cells and that they were taken to have."""
    if taken is None or not len(cells):
        return 0.0
    found = float(disc_diameter(np.median(cells.areas())))
    return float(min(abs(np.log2(max(found, 1.0) / taken)), FURTHEST_GAP))


def bare_texture(
    source: ImageSource, cells: Instances, normalisation: Normalisation, diameter: float | None
) -> float:
    """Share of an image that no cell covers though it is as textured as three cells in four.

    Texture is the standard deviation in blocks of half a cell's diameter. Where too few blocks lie
    in cells to say how these look, it is 0.
    """
    if diameter is None and len(cells):
        diameter = float(disc_diameter(np.median(cells.areas())))
    side = max(round((diameter or 0.0) / BLOCKS_ACROSS), SMALLEST_BLOCK)
    textures, shares = [], []
    for window in sample_windows(source.shape, max(256, 16 * side)):
        image = normalisation.apply(source.read(window), source.statistics)
        textures.append(block_spread(image, side).ravel())
        shares.append(block_means(_covered(cells, window), side).ravel())
    texture, share = np.concatenate(textures), np.concatenate(shares)
    in_cells = texture[share > 0.5]
    if len(in_cells) < FEWEST_BLOCKS:
        return 0.0
    return float(np.mean((share < UNSEEN) & (texture >= np.quantile(in_cells, 0.25))))


def block_spread(image: Float32, side: int) -> Float32:
    """float32[h, w]: standard deviation in blocks of side x side pixels, mean over channels."""
    means = block_means(image, side)
    square = block_means(image * image, side)
    spread: Float32 = np.sqrt(np.maximum(square - means * means, 0)).mean(axis=0)
    return spread


def _covered(cells: Instances, window: Window) -> Float32:
    """float32[1, h, w]: 1 where a cell lies in a window."""
    row, start, stop = cells.runs.T
    inside = (row >= window.row0) & (row < window.row1)
    start = np.clip(start[inside], window.col0, window.col1) - window.col0
    stop = np.clip(stop[inside], window.col0, window.col1) - window.col0
    steps = np.zeros((window.size[0], window.size[1] + 1), np.int32)
    np.add.at(steps, (row[inside] - window.row0, start), 1)
    np.add.at(steps, (row[inside] - window.row0, stop), -1)
    covered: Float32 = (np.cumsum(steps, axis=1)[None, :, :-1] > 0).astype(np.float32)
    return covered

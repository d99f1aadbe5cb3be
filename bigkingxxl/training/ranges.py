"""What the training images look like, in numbers that a model's card holds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bigkingxxl.data.dataset import Dataset
from bigkingxxl.geometry import disc_diameter
from bigkingxxl.images import Normalisation
from bigkingxxl.inference.domain.image_statistics import appearance, ranges

FEWEST = 20  # images that tell a range
LOOKED_AT = 200  # more tell hardly more
SPAN = (5, 95)  # percentiles: some images hold one odd cell
Ranges = dict[str, tuple[float, float]]


def image_diameters(data: Dataset, ids: Sequence[str]) -> Ranges:
    """By cell type, the range of the median diameter (px) of an image's cells; {} for few images.

    The diameter of a cell is that of a disc of its area.
    """
    if len(ids) < FEWEST:
        return {}
    found: dict[str, list[float]] = {}
    for image_id in ids:
        cells = data.instances(image_id)
        diameters = disc_diameter(cells.areas())
        for kind in np.unique(cells.cell_type).tolist():
            own = float(np.median(diameters[cells.cell_type == kind]))
            found.setdefault(data.type_names[kind], []).append(own)
    spans = {name: np.percentile(values, SPAN) for name, values in sorted(found.items())}
    return {name: (float(low), float(high)) for name, (low, high) in spans.items()}


def appearance_ranges(data: Dataset, ids: Sequence[str], normalisation: Normalisation) -> Ranges:
    """The range of each statistic of `appearance.appearance`; {} for few images."""
    if len(ids) < FEWEST:
        return {}
    chosen = np.unique(np.linspace(0, len(ids) - 1, min(len(ids), LOOKED_AT)).astype(int))
    sources = (data.source(ids[index]) for index in chosen.tolist())
    return ranges(
        appearance(source, normalisation) for source in sources if not source.statistics.is_blank
    )

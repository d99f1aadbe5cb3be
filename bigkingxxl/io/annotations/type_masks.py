"""Binary masks with one layer per cell type, for networks with one output per type.

The file is a TIFF with T pages, uint8, 255 inside cells of the type; ImageJ shows the name of the
type on each page.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.files import whole_file
from bigkingxxl.instances import Instances

FOREGROUND = 255


def type_masks(instances: Instances) -> NDArray[np.bool_]:
    """Return the pixels of cells of each type, bool[T, H, W]; overlaps are kept."""
    masks = np.zeros((len(instances.type_names), *instances.size), bool)
    owner, flat = instances.pixels()
    masks.reshape(len(masks), -1)[instances.cell_type[owner], flat] = True
    return masks


def write_type_masks(path: Path, instances: Instances) -> None:
    """Write one page per cell type, in the order of `type_names`.

    Raises:
        OutputError: The file cannot be written.
    """
    import tifffile

    pages = type_masks(instances).astype(np.uint8) * FOREGROUND
    with whole_file(path) as temporary:
        tifffile.imwrite(
            temporary, pages[:, None], imagej=True, compression="zlib",
            metadata={"axes": "ZCYX", "Labels": list(instances.type_names)},
        )  # fmt: skip

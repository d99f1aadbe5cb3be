"""Make the picture of the first tutorial: the images that it simulates, and the cells found there.

python docs/make_picture.py bundled docs/images/simulated.png
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

import bigkingxxl as bk
from bigkingxxl.data.dataset import open_dataset
from bigkingxxl.data.synthesize import Recipe, synthesize
from bigkingxxl.files import whole_file
from bigkingxxl.simulate.varied import VARIED

RECIPE = Recipe(images=3, seed=1, cell_types=(VARIED,))
SHOWN = (300, 360)


def main() -> None:
    """Simulate, predict, and draw the fullest part of each image above its cells."""
    model = bk.load(sys.argv[1])
    above, below = [], []
    with tempfile.TemporaryDirectory() as folder:
        synthesize(Path(folder) / "data", RECIPE, workers=1)
        data = open_dataset(Path(folder) / "data")
        for image_id in data.ids:
            source = data.source(image_id)
            part = fullest(data.instances(image_id).label_map() > 0)
            pixels = source.read()[0].astype(np.uint8)[part]
            above.append(np.repeat(pixels[..., None], 3, axis=2))
            below.append(model.predict(source).overlay()[part])
    picture = np.vstack((np.hstack(above), np.hstack(below)))
    with whole_file(Path(sys.argv[2])) as temporary:
        Image.fromarray(picture).save(temporary, optimize=True)


def fullest(covered: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Return the part of the size `SHOWN` that cells cover most."""
    share = ndimage.uniform_filter(covered.astype(np.float32), SHOWN)
    (rows, cols), (height, width) = covered.shape, SHOWN
    inside = share[height // 2 : rows - height // 2, width // 2 : cols - width // 2]
    row, col = np.unravel_index(int(inside.argmax()), inside.shape)
    return slice(int(row), int(row) + height), slice(int(col), int(col) + width)


if __name__ == "__main__":
    main()

"""Make the README's picture: simulated fields of the three types, and the cells a model finds.

python docs/make_picture.py MODEL docs/images/simulated.png
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

import bigkingxxl as bk
from bigkingxxl.files import whole_file
from bigkingxxl.simulate import CELL_TYPES, simulate_field

SIZE, SEED = (300, 360), 12345


def main() -> None:
    """Simulate, predict, draw: images above, cells below."""
    model = bk.load(sys.argv[1])
    above, below = [], []
    for cell_type in CELL_TYPES:
        image = simulate_field(cell_type, size=SIZE, seed=SEED).image
        above.append(np.repeat(image[..., None], 3, axis=2))
        below.append(model.predict(image).overlay())
    picture = np.vstack((np.hstack(above), np.hstack(below)))
    with whole_file(Path(sys.argv[2])) as temporary:
        Image.fromarray(picture).save(temporary, optimize=True)


if __name__ == "__main__":
    main()

"""Cell instance segmentation for label-free microscopy.

Load the bundled model, predict an image, and use the cells. An image is a path, an array or a
tensor. The example below simulates one.

>>> from bigkingxxl.simulate import simulate_field
>>> image = simulate_field("cort", size=(192, 256), seed=1).image

>>> import bigkingxxl as bk
>>> model = bk.load()
>>> cells = model.predict(image)

>>> cells.label_map().shape, int(cells.label_map().max()) == len(cells)
((192, 256), True)
>>> sorted(cells.measurements(image))[:4]
['area', 'area_um2', 'centroid_col', 'centroid_col_um']
>>> cells.to_coco()[0]["segmentation"]["size"]
[192, 256]
"""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"
__all__ = ["Cells", "LoadedModel", "__version__", "load", "open_run", "score"]


def __getattr__(name: str) -> Any:
    # The heavy modules are imported on first use, so that `bigkingxxl --help` starts at once.
    if name in __all__:
        from bigkingxxl import api

        return getattr(api, name)
    raise AttributeError(f"module 'bigkingxxl' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

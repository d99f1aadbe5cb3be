"""Cell instance segmentation for label-free microscopy.

import bigkingxxl as bk
model = bk.load("model.onnx")
cells = model.predict("image.tif")
cells.label_map(), cells.measurements(), cells.to_coco()
"""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"
__all__ = ["Cells", "LoadedModel", "__version__", "load"]


def __getattr__(name: str) -> Any:
    # Numpy and the rest are imported when something is used, so that `--help` starts at once.
    if name in __all__:
        from bigkingxxl import api

        return getattr(api, name)
    raise AttributeError(f"module 'bigkingxxl' has no attribute '{name}'")

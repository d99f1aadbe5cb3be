"""Write arrays as `.npz` files that have the same bytes whenever they have the same content."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.files import whole_file

FIXED_TIME = (1980, 1, 1, 0, 0, 0)
FASTEST = 1  # of the levels of compression


def write_npz(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays atomically, in their order; `numpy.load` reads the file without pickles.

    Args:
        path: The file.
        arrays: The arrays by name, of any shape and numeric dtype.

    Raises:
        OutputError: The file cannot be written.
    """
    with whole_file(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.lib.format.write_array(content, np.ascontiguousarray(array))
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=FIXED_TIME)
            archive.writestr(entry, content.getvalue(), zipfile.ZIP_DEFLATED, FASTEST)


def as_array(values: Mapping[str, Any]) -> NDArray[np.uint8]:
    """Return plain values as an array, uint8[L], the bytes of their JSON text."""
    return np.frombuffer(json.dumps(values).encode(), np.uint8)

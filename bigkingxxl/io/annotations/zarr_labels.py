"""Label images as OME-Zarr: chunks that are written one by one, with a pyramid.

A folder is an image of its own (`multiscales`) and is marked as labels (`image-label`), so that
viewers open it by itself as well as among the `labels` of an image.

Source: NGFF 0.4 (Zarr 2) and 0.5 (Zarr 3), https://ngff.openmicroscopy.org.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.errors import MissingExtraError
from bigkingxxl.extras import install
from bigkingxxl.files import whole_file
from bigkingxxl.instances import Instances, PixelSize
from bigkingxxl.io.annotations.label_tiles import label_type

VERSIONS = {"0.4": 2, "0.5": 3}  # the Zarr format of each NGFF version
CHUNK = 1024  # pixels along each axis
LEVEL = 5  # of Zstandard
SMALLEST_LEVEL = 1024  # pixels; a pyramid ends when its longest side is no longer than this
LABELS = "labels"


def require_zarr() -> None:
    """Check that OME-Zarr can be written.

    Raises:
        MissingExtraError: zarr is not installed.
    """
    try:
        import zarr  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(
            f"OME-Zarr is written by the library zarr, which is missing: {install('zarr')}",
            key="zarr",
        ) from error


@dataclass(frozen=True)
class ZarrLabels:
    """A label image that is being written.

    Attributes:
        path: Its folder.
        shape: (H, W).
        dtype: The dtype of the labels.
        chunk: The sides of a chunk in pixels.
        version: The version of NGFF, a key of `VERSIONS`.
    """

    path: Path
    shape: tuple[int, int]
    dtype: np.dtype[Any]
    chunk: int = CHUNK
    version: str = "0.4"
    pixel_size_um: PixelSize | None = None

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """The (H, W) of each level, each half of the one before."""
        found = [self.shape]
        while max(found[-1]) > max(SMALLEST_LEVEL, self.chunk):
            found.append((-(-found[-1][0] // 2), -(-found[-1][1] // 2)))
        return found

    def create(self) -> None:
        """Create the empty arrays and their metadata.

        Raises:
            OutputError: The folder cannot be written.
            MissingExtraError: zarr is not installed.
        """
        require_zarr()
        import zarr

        group = zarr.open_group(self.path, mode="a", zarr_format=VERSIONS[self.version])
        for level, size in enumerate(self.sizes):
            if str(level) not in group:
                self._array(group, str(level), size)
        group.attrs.update(self._metadata())

    def _array(self, group: Any, name: str, size: tuple[int, int]) -> None:
        from numcodecs import Zstd
        from zarr.codecs import ZstdCodec

        options: dict[str, Any] = {
            "shape": size, "chunks": (self.chunk, self.chunk), "dtype": self.dtype,
            "fill_value": 0, "config": {"write_empty_chunks": False},
        }  # fmt: skip
        if VERSIONS[self.version] == 2:
            options |= {"compressors": Zstd(LEVEL), "order": "C"}
            options["chunk_key_encoding"] = {"name": "v2", "separator": "/"}
        else:
            options |= {"compressors": ZstdCodec(level=LEVEL), "dimension_names": ("y", "x")}
        group.create_array(name, **options)

    def _metadata(self) -> dict[str, Any]:
        size = self.pixel_size_um
        unit = {} if size is None else {"unit": "micrometer"}
        rows, cols = (1.0, 1.0) if size is None else size
        multiscale = {
            "name": LABELS,
            "axes": [{"name": name, "type": "space", **unit} for name in ("y", "x")],
            "datasets": [
                {"path": str(level), "coordinateTransformations": [
                    {"type": "scale", "scale": [rows * 2**level, cols * 2**level]}
                ]} for level in range(len(self.sizes))
            ],
            "type": "nearest",
        }  # fmt: skip
        if self.version == "0.4":
            return {
                "multiscales": [{"version": "0.4", **multiscale}],
                "image-label": {"version": "0.4"},
            }
        return {"ome": {"version": self.version, "multiscales": [multiscale], "image-label": {}}}

    def write(self, row: int, col: int, labels: NDArray[Any]) -> None:
        """Write a part [h, w] of the finest level, aligned with chunks."""
        self._level(0)[row : row + labels.shape[0], col : col + labels.shape[1]] = labels

    def write_pyramid(self) -> None:
        """Compute the coarser levels from the first of every 2 x 2 pixels."""
        for level in range(1, len(self.sizes)):
            finer, coarser = self._level(level - 1), self._level(level)
            height, width = coarser.shape
            for row in range(0, height, self.chunk):
                for col in range(0, width, self.chunk):
                    bottom, right = min(row + self.chunk, height), min(col + self.chunk, width)
                    part = np.asarray(finer[2 * row : 2 * bottom, 2 * col : 2 * right])
                    coarser[row:bottom, col:right] = part[::2, ::2]

    def _level(self, level: int) -> Any:
        import zarr

        return zarr.open_array(self.path / str(level), mode="r+",
                               zarr_format=VERSIONS[self.version])  # fmt: skip


def write_zarr_labels(path: Path, instances: Instances, version: str = "0.4") -> None:
    """Write the label image of an image that fits into memory, atomically.

    Raises:
        OutputError: It cannot be written.
        MissingExtraError: zarr is not installed.
    """
    with whole_file(path) as temporary:
        labels = ZarrLabels(
            temporary, instances.size, label_type(len(instances)), version=version,
            pixel_size_um=instances.pixel_size_um,
        )  # fmt: skip
        labels.create()
        labels.write(0, 0, instances.label_map().astype(labels.dtype))
        labels.write_pyramid()

"""Labels inside an OME-Zarr image: where viewers look for them, and the image as it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bigkingxxl.errors import BigKingXXLError, InputError, OutputError
from bigkingxxl.instances import Instances
from bigkingxxl.io.annotations.zarr_inside import put_inside
from bigkingxxl.io.annotations.zarr_labels import VERSIONS, write_zarr_labels
from bigkingxxl.io.images import open_image
from bigkingxxl.runs.records import Stamp

zarr = pytest.importorskip("zarr")


def image(path: Path, version: str, size: tuple[int, int] = (40, 50)) -> Path:
    """An OME-Zarr with random pixels."""
    group = zarr.open_group(path, mode="w", zarr_format=VERSIONS[version])
    array = group.create_array("0", shape=size, chunks=(16, 16), dtype="uint8")
    array[:] = np.random.default_rng(0).integers(0, 255, size, np.uint8)
    multiscale: dict[str, Any] = {
        "axes": [{"name": "y", "type": "space"}, {"name": "x", "type": "space"}],
        "datasets": [{"path": "0", "coordinateTransformations": [
            {"type": "scale", "scale": [1.0, 1.0]}]}],
    }  # fmt: skip
    if version == "0.4":
        group.attrs["multiscales"] = [{"version": "0.4", **multiscale}]
    else:
        group.attrs["ome"] = {"version": "0.5", "multiscales": [multiscale]}
    return path


def labels(path: Path, version: str, seed: int = 1) -> Path:
    """Labels of the same size."""
    field = np.random.default_rng(seed).integers(0, 3, (40, 50)).astype(np.int32)
    write_zarr_labels(path, Instances.from_label_map(field), version)
    return path


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_viewers_find_the_labels_and_the_image_is_as_it_was(tmp_path: Path, version: str) -> None:
    source, cells = image(tmp_path / "a.zarr", version), labels(tmp_path / "cells.zarr", version)
    before, pixels = Stamp.of(source), open_image(source).read()
    put_inside(cells, source, "nuclei")
    place = put_inside(cells, source, "cells")
    assert place == source / "labels" / "cells"
    group = zarr.open_group(source, mode="r")["labels"]
    known = group.attrs.asdict()
    known = known if version == "0.4" else known["ome"]
    assert known["labels"] == ["cells", "nuclei"]
    told = group["cells"].attrs.asdict()
    told = told if version == "0.4" else told["ome"]
    assert told["image-label"]["source"] == {"image": "../../"}
    expected = zarr.open_group(cells, mode="r")["0"][:]
    np.testing.assert_array_equal(group["cells"][told["multiscales"][0]["datasets"][0]["path"]][:],
                                  expected)  # fmt: skip
    assert Stamp.of(source) == before
    np.testing.assert_array_equal(open_image(source).read(), pixels)


def test_labels_of_an_earlier_run_are_replaced_and_those_of_others_are_not(tmp_path: Path) -> None:
    source = image(tmp_path / "a.zarr", "0.4")
    put_inside(labels(tmp_path / "one.zarr", "0.4"), source, "cells")
    second = labels(tmp_path / "two.zarr", "0.4", seed=2)
    place = put_inside(second, source, "cells")
    np.testing.assert_array_equal(zarr.open_group(place, mode="r")["0"][:],
                                  zarr.open_group(second, mode="r")["0"][:])  # fmt: skip
    foreign = labels(source / "labels" / "manual", "0.4")
    kept = (foreign / ".zattrs").read_bytes()
    with pytest.raises(OutputError) as caught:
        put_inside(second, source, "manual")
    assert caught.value.file == foreign
    assert (foreign / ".zattrs").read_bytes() == kept
    put_inside(second, source, "manual", overwrite=True)
    assert json.loads((source / "labels" / ".zattrs").read_bytes())["labels"] == ["cells", "manual"]


@pytest.mark.parametrize("name", ["", "..", "a/b", ".zattrs", "/abs", "zarr.json"])
def test_names_that_leave_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    source = image(tmp_path / "a.zarr", "0.4")
    with pytest.raises(InputError):
        put_inside(labels(tmp_path / "c.zarr", "0.4"), source, name)
    assert not (source / "labels").exists()


def test_another_version_and_what_is_no_image_are_refused(tmp_path: Path) -> None:
    cells = labels(tmp_path / "c.zarr", "0.5")
    with pytest.raises(InputError) as caught:
        put_inside(cells, image(tmp_path / "a.zarr", "0.4"), "cells")
    assert caught.value.expected == "zarr"
    plate = tmp_path / "plate.zarr"
    zarr.open_group(plate, mode="w", zarr_format=3).attrs["ome"] = {"plate": {"wells": []}}
    for folder in (plate, tmp_path / "none.zarr", tmp_path):
        with pytest.raises(BigKingXXLError):
            put_inside(cells, folder, "cells")

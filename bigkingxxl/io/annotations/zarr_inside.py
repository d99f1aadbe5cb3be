"""Label images inside the OME-Zarr image that they belong to, where viewers show them on top of it.

Source: NGFF 0.4 and 0.5, "labels", https://ngff.openmicroscopy.org.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bigkingxxl.errors import InputError, OutputError
from bigkingxxl.files import make_folder, whole_file, write_json

LABELS = "labels"
MARK = "bigkingxxl"  # an attribute of labels that this program put there
FORMATS = {2: "zarr", 3: "zarr-0.5"}  # the --format for an image in each Zarr format


def zarr_format(folder: Path) -> int | None:
    """Return the Zarr format of a group, 2 or 3; None if the folder is no Zarr group."""
    if (folder / "zarr.json").is_file():
        return 3
    return 2 if (folder / ".zgroup").is_file() else None


def put_inside(labels: Path, image: Path, name: str, *, overwrite: bool = False) -> Path:
    """Copy a label image into an OME-Zarr image and add it to the image's list of labels.

    Args:
        labels: A label image, an OME-Zarr of the same version as the image.
        image: The OME-Zarr image.
        name: The name of the labels in the image.
        overwrite: Replace labels of that name that another program wrote.

    Returns:
        The folder of the labels in the image.

    Raises:
        InputError: The image is no single OME-Zarr image, or of another version; the name cannot be
            the name of a folder.
        OutputError: Another program wrote labels of that name, or the image cannot be written.
    """
    _check(labels, image, name)
    version, place = zarr_format(image), image / LABELS / name
    if place.exists() and not overwrite and MARK not in _attributes(place):
        raise OutputError(
            f"{place} exists and was not written by bigkingxxl: choose another --name, or replace "
            "it with --overwrite",
            file=place,
        )
    make_folder(place.parent)
    with whole_file(place) as temporary:
        shutil.copytree(labels, temporary)
        attributes = _attributes(temporary)
        ome = attributes["ome"] if version == 3 else attributes
        ome["image-label"] = {**ome.get("image-label", {}), "source": {"image": "../../"}}
        _write_attributes(temporary, {**attributes, MARK: {"from": labels.name}})
    _list(image / LABELS, name, int(version or 2))
    return place


def _check(labels: Path, image: Path, name: str) -> None:
    if not name or name != Path(name).name or name.startswith(".") or name == "zarr.json":
        raise InputError(f"--name is '{name}', expected the name of a folder", key="name",
                         found=name)  # fmt: skip
    version = zarr_format(image)
    attributes = _attributes(image) if version else {}
    ome = attributes.get("ome", attributes)
    if "multiscales" not in (ome if isinstance(ome, Mapping) else {}):
        raise InputError(
            f"{image} is not a single OME-Zarr image (no 'multiscales'), so labels cannot be put "
            "inside",
            file=image,
        )
    if zarr_format(labels) != version:
        raise InputError(
            f"{labels} is in Zarr {zarr_format(labels)} and {image} in Zarr {version}: predict "
            f"with --format {FORMATS[version or 2]}",
            file=labels, expected=FORMATS[version or 2],
        )  # fmt: skip


def _list(folder: Path, name: str, version: int) -> None:
    """Add a name to the list in the group of an image's labels, which is made if need be."""
    attributes = _attributes(folder)
    if version == 2:
        if not (folder / ".zgroup").is_file():
            write_json(folder / ".zgroup", {"zarr_format": 2})
        known = attributes
    else:
        known = attributes.setdefault("ome", {"version": "0.5"})
    known["labels"] = sorted({*map(str, known.get("labels") or ()), name})
    _write_attributes(folder, attributes, version)


def _attributes(group: Path) -> dict[str, Any]:
    """Return the attributes of a Zarr group; empty if it has none that can be read."""
    try:
        if (group / "zarr.json").is_file():
            found = json.loads((group / "zarr.json").read_bytes()).get("attributes", {})
        else:
            found = json.loads((group / ".zattrs").read_bytes())
    except (OSError, ValueError, AttributeError):
        return {}
    return dict(found) if isinstance(found, Mapping) else {}


def _write_attributes(
    group: Path, attributes: Mapping[str, Any], version: int | None = None
) -> None:  # fmt: skip
    if (version or zarr_format(group)) == 2:
        write_json(group / ".zattrs", attributes)
        return
    known: dict[str, Any] = {"zarr_format": 3, "node_type": "group"}
    if (group / "zarr.json").is_file():
        known = json.loads((group / "zarr.json").read_bytes())
    write_json(group / "zarr.json", {**known, "attributes": attributes})

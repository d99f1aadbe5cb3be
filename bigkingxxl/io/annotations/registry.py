"""The registry of formats with the cells of one image per file, and of their file names.

A new format is a module of this package and an entry in `FORMATS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from bigkingxxl.instances import Instances
from bigkingxxl.io.images.folders import bases_of, stem_of, with_and_without_ome
from bigkingxxl.io.images.registry import image_suffixes

Size = tuple[int, int]
LABEL_SUFFIXES = (".tif", ".tiff", ".png", ".bmp", ".npy")
ROI_ENDINGS = ("_RoiSet", "_roiset", "_ROIs", "_rois", "-rois", "_roi")
ANY_IMAGE = "RoiSet"  # the name that Fiji's ROI Manager proposes for any image
END_BYTES = 1 << 16  # bytes at each end of a JSON file that identify its kind


class AnnotationFormat(NamedTuple):
    """A format with one file per image.

    Attributes:
        name: The name for users.
        ending: The ending of written files, after the name of the image.
        names_types: Whether a file stores the type of each cell.
        read: Reads the cells of a file, for an image of size (H, W).
        write: Writes cells; the file of the image is given for formats that name it.
    """

    name: str
    ending: str
    names_types: bool
    read: Callable[[Path, Size], Instances]
    write: Callable[[Path, Instances, Path | None], None]


def _read_labels(path: Path, size: Size) -> Instances:
    from bigkingxxl.io.annotations.label_images import read_label_image

    return Instances.from_label_map(read_label_image(path, size=size))


def _write_labels(path: Path, instances: Instances, image: Path | None) -> None:  # noqa: ARG001
    from bigkingxxl.io.annotations.label_images import write_label_image

    write_label_image(path, instances)


def _read_seg(path: Path, size: Size) -> Instances:
    from bigkingxxl.io.annotations.cellpose import read_seg
    from bigkingxxl.io.annotations.label_images import check_same_size

    cells = read_seg(path)
    check_same_size(path, size, cells.size)
    return cells


def _write_seg(path: Path, instances: Instances, image: Path | None) -> None:
    from bigkingxxl.io.annotations.cellpose import write_seg

    write_seg(path, instances, image)


def _read_rois(path: Path, size: Size) -> Instances:
    from bigkingxxl.io.annotations.imagej import read_rois

    return read_rois(path, size)


def _write_rois(path: Path, instances: Instances, image: Path | None) -> None:  # noqa: ARG001
    from bigkingxxl.io.annotations.imagej import write_rois

    write_rois(path, instances)


def _read_geojson(path: Path, size: Size) -> Instances:
    from bigkingxxl.io.annotations.qupath import read_geojson

    return read_geojson(path, size)


def _write_geojson(path: Path, instances: Instances, image: Path | None) -> None:  # noqa: ARG001
    from bigkingxxl.io.annotations.qupath import write_geojson

    write_geojson(path, instances)


def _read_labelme(path: Path, size: Size) -> Instances:
    from bigkingxxl.io.annotations.labelme import read_labelme

    return read_labelme(path, size)


def _write_labelme(path: Path, instances: Instances, image: Path | None) -> None:
    from bigkingxxl.io.annotations.labelme import write_labelme

    write_labelme(path, instances, image)


# The most informative formats first.
FORMATS = {
    each.name: each
    for each in (
        AnnotationFormat("qupath", ".geojson", True, _read_geojson, _write_geojson),
        AnnotationFormat("imagej", ".zip", True, _read_rois, _write_rois),
        AnnotationFormat("labelme", ".json", True, _read_labelme, _write_labelme),
        AnnotationFormat("labels", "_masks.tif", False, _read_labels, _write_labels),
        AnnotationFormat("cellpose", "_seg.npy", False, _read_seg, _write_seg),
    )
}


@dataclass(frozen=True)
class AnnotationFile:
    """A file that contains the cells of one image.

    Attributes:
        path: The file.
        format: A name of `FORMATS`.
        names: The possible names of its image, the most likely first; empty if the file belongs to
            the only image beside it.
        is_certain: Whether its name alone identifies it as annotations.
    """

    path: Path
    format: str
    names: tuple[str, ...]
    is_certain: bool

    def read(self, size: Size) -> Instances:
        """Read the cells, for an image of size (H, W).

        Raises:
            InputError: The file does not exist.
            FormatError: It violates its format.
            ImageError: It cannot be read.
        """
        return FORMATS[self.format].read(self.path, size)


def annotation_file(path: Path, *, among_labels: bool = False) -> AnnotationFile | None:
    """Identify an annotation file by its name; None if it is not one.

    Args:
        path: The file.
        among_labels: Whether it lies in a folder of label images, where any image is one.
    """
    name, ending = path.name, path.suffix.lower()
    if name.endswith("_seg.npy"):
        base = name.removesuffix("_seg.npy")
        return AnnotationFile(path, "cellpose", tuple(with_and_without_ome(base)), True)
    if ending in LABEL_SUFFIXES:
        return _label_file(path, among_labels)
    if ending == ".geojson":
        return AnnotationFile(path, "qupath", tuple(_bases(path.stem)), True)
    if ending in (".zip", ".roi"):
        from bigkingxxl.io.annotations.imagej import holds_rois

        if not holds_rois(path):
            return None
        names = () if path.stem.lower() == ANY_IMAGE.lower() else tuple(_bases(path.stem))
        return AnnotationFile(path, "imagej", names, False)
    if ending == ".json" and (kind := json_kind(path)) in ("labelme", "qupath"):
        return AnnotationFile(path, kind, tuple(_bases(path.stem)), kind == "labelme")
    return None


def _label_file(path: Path, among_labels: bool) -> AnnotationFile | None:
    stem = stem_of(path)
    bases = tuple(bases_of(stem))
    if among_labels:
        return AnnotationFile(path, "labels", (stem, *bases), True)
    return AnnotationFile(path, "labels", bases, False) if bases else None


def _bases(stem: str) -> Iterator[str]:
    """Yield a name, and the same without suffixes of programs: `_rois`, the ending of the image."""
    yield from with_and_without_ome(stem)
    for ending in ROI_ENDINGS:
        if stem.endswith(ending):
            stem = stem.removesuffix(ending)
            yield from with_and_without_ome(stem)
            break
    for ending in (".ome.tif", ".ome.tiff", *image_suffixes()):
        if stem.lower().endswith(ending):
            yield stem[: -len(ending)]
            break


def json_kind(path: Path) -> str | None:
    """Return 'coco', 'labelme' or 'qupath' by the keys at both ends of a JSON file, or None."""
    try:
        with path.open("rb") as stream:
            text = stream.read(END_BYTES)
            length = stream.seek(0, 2)
            stream.seek(max(length - END_BYTES, 0))
            text += stream.read(END_BYTES)
    except OSError:
        return None
    if b'"FeatureCollection"' in text or (b'"Feature"' in text and b'"geometry"' in text):
        return "qupath"
    if b'"shapes"' in text and (b'"imagePath"' in text or b'"shape_type"' in text):
        return "labelme"
    keys = (b'"images"', b'"annotations"', b'"categories"')
    starts_as_object = text.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"{"
    return "coco" if starts_as_object and sum(key in text for key in keys) >= 2 else None

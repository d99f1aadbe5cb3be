"""Micrometres per pixel, in every form that TIFFs give it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from bigkingxxl.io.images import open_image, open_images, read_header

GRAY = np.arange(60, dtype=np.uint8).reshape(6, 10)


def write(path: Path, **options: Any) -> Path:
    tifffile.imwrite(path, GRAY, **{"photometric": "minisblack", **options})
    return path


def ome(*images: str) -> str:
    parts = "".join(
        f'<Image ID="Image:{k}"><Pixels ID="Pixels:{k}" DimensionOrder="XYCZT" Type="uint8" '
        f'SizeX="10" SizeY="6" SizeC="1" SizeZ="1" SizeT="1" {attributes}>'
        f'<TiffData IFD="{k}" PlaneCount="1"/></Pixels></Image>'
        for k, attributes in enumerate(images)
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/'
        f'OME/2016-06">{parts}</OME>'
    )


def size_of(path: Path) -> tuple[float, float] | None:
    found = open_image(path).pixel_size_um
    assert read_header(path).pixel_size_um == found
    return found


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ('PhysicalSizeX="0.5" PhysicalSizeY="0.25"', (0.25, 0.5)),
        ('PhysicalSizeX="0.5"', (0.5, 0.5)),
        ('PhysicalSizeY="0.25"', (0.25, 0.25)),
        ('PhysicalSizeX="0.5" PhysicalSizeXUnit="&#181;m"', (0.5, 0.5)),
        ('PhysicalSizeX="0.5" PhysicalSizeXUnit="&#xB5;m"', (0.5, 0.5)),
        ('PhysicalSizeX="500" PhysicalSizeXUnit="nm"', (0.5, 0.5)),
        ('PhysicalSizeX="5e-7" PhysicalSizeXUnit="m"', (0.5, 0.5)),
        ('PhysicalSizeX="0.0005" PhysicalSizeXUnit="mm"', (0.5, 0.5)),
        ('PhysicalSizeX="5e-13" PhysicalSizeXUnit="Mm"', (0.5, 0.5)),
        ('PhysicalSizeX="500000" PhysicalSizeXUnit="pm"', (0.5, 0.5)),
        ('PhysicalSizeX="5e-22" PhysicalSizeXUnit="Pm"', (0.5, 0.5)),
        ('PhysicalSizeX="5000" PhysicalSizeXUnit="&#197;"', (0.5, 0.5)),
        ('PhysicalSizeX="0.02" PhysicalSizeXUnit="thou"', (0.508, 0.508)),
        ('PhysicalSizeX="0.00002" PhysicalSizeXUnit="in"', (0.508, 0.508)),
        ('PhysicalSizeX="1" PhysicalSizeXUnit="pixel"', None),
        ('PhysicalSizeX="1" PhysicalSizeXUnit="reference frame"', None),
        ('PhysicalSizeX="0"', None),
        ('PhysicalSizeX="-1" PhysicalSizeY="0.5"', (0.5, 0.5)),
        ('PhysicalSizeX="NaN"', None),
        ('PhysicalSizeX="INF"', None),
        ("", None),
    ],
)  # fmt: skip
def test_ome(tmp_path: Path, attributes: str, expected: tuple[float, float] | None) -> None:
    path = write(tmp_path / "x.ome.tif", metadata=None, description=ome(attributes).encode())
    assert size_of(path) == (None if expected is None else pytest.approx(expected))


def test_each_image_of_a_file_has_its_own(tmp_path: Path) -> None:
    path = tmp_path / "x.ome.tif"
    xml = ome('PhysicalSizeX="0.5"', "", 'PhysicalSizeX="2"').encode()
    with tifffile.TiffWriter(path) as writer:
        for k in range(3):
            writer.write(GRAY + k, photometric="minisblack", metadata=None, contiguous=False,
                         description=xml if k == 0 else None)  # fmt: skip
    images = open_images(path)
    assert [image.pixel_size_um for image in images] == [(0.5, 0.5), None, (2.0, 2.0)]
    assert [int(image.read().min()) for image in images] == [0, 1, 2]


@pytest.mark.parametrize("unit", ["INCH", "CENTIMETER"])
@pytest.mark.parametrize("dpi", [72, 96, 150, 300, 400, 600, 1200, 2400, 4800])
def test_a_printers_resolution_is_no_size(tmp_path: Path, unit: str, dpi: int) -> None:
    dots = dpi if unit == "INCH" else dpi / 2.54
    path = write(tmp_path / "x.tif", resolution=(dots, dots), resolutionunit=unit, metadata=None)
    assert size_of(path) is None


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"resolution": (20_000, 10_000), "resolutionunit": "CENTIMETER"}, (1.0, 0.5)),
        ({"resolution": (1538, 1538), "resolutionunit": "CENTIMETER"}, (6.5, 6.5)),
        ({"resolution": (25_400, 25_400), "resolutionunit": "INCH"}, (1.0, 1.0)),
        ({"resolution": (300, 300), "imagej": True, "metadata": {"unit": "inch"}}, None),
        ({"resolution": (2, 4), "imagej": True, "metadata": {"unit": "um"}}, (0.25, 0.5)),
        ({"resolution": (2, 2), "imagej": True, "metadata": {"unit": "nm"}}, (5e-4, 5e-4)),
        ({"description": "Aperio Image Library v12|AppMag = 20|MPP = 0.4990"}, (0.499, 0.499)),
    ],
)
def test_other_words(
    tmp_path: Path, options: dict[str, Any], expected: tuple[float, float] | None
) -> None:
    path = write(tmp_path / "x.tif", **{"metadata": None, **options})
    assert size_of(path) == (None if expected is None else pytest.approx(expected, rel=1e-3))

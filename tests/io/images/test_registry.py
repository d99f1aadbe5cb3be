"""Which reader a file gets, and the error for files that none reads."""

from __future__ import annotations

import os
import sys
from importlib import metadata, util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bigkingxxl.errors import ImageError
from bigkingxxl.io.images import find_images, open_image, registry
from bigkingxxl.io.images.file_image import ArraySamples
from bigkingxxl.io.images.reader import ImageReader
from bigkingxxl.io.images.series import ImageSeries
from tests.refusals import refused

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


@pytest.mark.parametrize("ending", ["tif", "png", "czi", "npy"])
@pytest.mark.parametrize(
    ("content", "fields"),
    [
        (b"", {"key": "bytes", "found": 0}),
        (LFS, {"key": "format", "found": "Git LFS"}),
        (b"\n<!DOCTYPE html><html><body>404</body></html>", {"key": "format", "found": "HTML"}),
        (b"\xef\xbb\xbf<HTML><HEAD>", {"key": "format", "found": "HTML"}),
        (b"PK\x03\x04rest", {"key": "format"}),
        (b"\x1f\x8b\x08rest", {"key": "format"}),
        (b"%PDF-1.7", {"key": "format"}),
    ],
)
def test_refusals_identify_the_actual_format(
    tmp_path: Path, ending: str, content: bytes, fields: dict[str, Any]
) -> None:
    path = tmp_path / f"x.{ending}"
    path.write_bytes(content)
    with refused(ImageError, file=path, **fields) as error:
        open_image(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("name", "package", "start", "found", "extra"),
    [
        ("x.czi", "czifile", b"ZISRAWFILE", "Zeiss CZI", "bigkingxxl[czi]"),
        ("x.nd2", "nd2", b"\xda\xce\xbe\x0a", "Nikon ND2", "bigkingxxl[nd2]"),
        ("x.lif", "liffile", b"\x70\0\0\0\0\0\0\0\x2a", "Leica LIF", "bigkingxxl[lif]"),
        ("x.dcm", "pydicom", bytes(128) + b"DICM", "DICOM", "bigkingxxl[dicom]"),
        ("renamed.tif", "czifile", b"ZISRAWFILE", "Zeiss CZI", "bigkingxxl[czi]"),
    ],
)
def test_a_format_without_its_package(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    package: str,
    start: bytes,
    found: str,
    extra: str,
) -> None:
    find = util.find_spec
    monkeypatch.setattr(util, "find_spec", lambda each: None if each == package else find(each))
    path = tmp_path / name
    path.write_bytes(start.ljust(600, b"\0"))
    with refused(ImageError, extra, file=path, key="format", found=found):
        open_image(path)


@pytest.mark.parametrize("name", ["x.oib", "x.vsi", "x.zvi", "x.ims", "x.mrxs"])
def test_unsupported_formats_are_reported(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1 anything")
    with refused(ImageError, file=path, key="format", expected="OME-TIFF"):
        open_image(path)
    assert [file.path for file in find_images([tmp_path]).files] == [path]  # reported, not left out


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_pipes_and_devices_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.tif")
    for path in (tmp_path / "x.tif", Path("/dev/zero")):
        with refused(ImageError, file=path, key="format"):
            open_image(path)


class Point:
    """An entry point of another package."""

    def __init__(self, name: str, loaded: Any) -> None:
        self.name, self.loaded = name, loaded

    def load(self) -> Any:
        if isinstance(self.loaded, Exception):
            raise self.loaded
        return self.loaded


@pytest.fixture
def plugged(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let other packages provide readers."""

    def plug(*points: Point) -> None:
        def entry_points(group: str) -> list[Point]:
            assert group == "bigkingxxl.image_readers"
            return list(points)

        monkeypatch.setattr(metadata, "entry_points", entry_points)
        clear()

    def clear() -> None:
        registry.readers.cache_clear()
        registry.image_suffixes.cache_clear()

    yield plug
    monkeypatch.undo()
    clear()


def test_a_package_brings_a_reader(tmp_path: Path, plugged: Any) -> None:
    pixels = np.arange(12.0).reshape(1, 3, 4)

    def read(path: Path, pixel_limit: int) -> list[ImageSeries]:
        return [ImageSeries((3, 4), lambda _frame, _depth: ArraySamples(pixels))]

    plugged(Point("mine", ImageReader("Mine", (".mine",), read)))
    path = tmp_path / "x.mine"
    path.write_bytes(b"anything")
    assert np.array_equal(open_image(path).read(), pixels)
    assert [file.name for file in find_images([tmp_path]).files] == ["x"]


def test_a_faulty_plugin_is_skipped(
    tmp_path: Path, plugged: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(path: Path, pixel_limit: int) -> list[ImageSeries]:
        raise ZeroDivisionError("oh")

    plugged(Point("gone", ImportError("no module")), Point("odd", 5),
            Point("bad", ImageReader("Bad", (".bad",), fails)))  # fmt: skip
    np.save(tmp_path / "x.npy", np.eye(5))
    assert open_image(tmp_path / "x.npy").shape == (5, 5)
    assert "no module" in caplog.text
    assert "'odd'" in caplog.text
    (tmp_path / "x.bad").write_bytes(b"anything")
    with refused(ImageError, file="x.bad", key="format", expected="Bad"):
        open_image(tmp_path / "x.bad")


def test_opening_a_picture_imports_no_other_reader(tmp_path: Path) -> None:
    import subprocess

    np.save(tmp_path / "x.npy", np.eye(5))
    code = (
        "import sys; from bigkingxxl.io.images import open_image; "
        f"open_image({str(tmp_path / 'x.npy')!r}); print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert not loaded & {"zarr", "yaozarrs", "nd2", "liffile", "czifile", "pydicom", "dask"}

"""Explain why a file is not an image, and what to do about it.

What belongs here: recognising what users take for images by the first bytes of the file. What does
not: damaged images, which their readers report.
"""

from __future__ import annotations

from pathlib import Path

from bigkingxxl.errors import ImageError

# Microscope formats that no reader without a copyleft licence supports.
UNREAD = {
    ".oib": "Olympus OIB", ".oif": "Olympus OIF", ".oir": "Olympus OIR", ".vsi": "Olympus VSI",
    ".ets": "Olympus VSI", ".zvi": "Zeiss ZVI", ".dv": "DeltaVision", ".r3d": "DeltaVision",
    ".ims": "Imaris", ".mrxs": "MIRAX", ".sld": "SlideBook", ".lof": "Leica LOF",
    ".xlef": "Leica XLEF", ".mvd2": "Volocity", ".ipl": "IPLab", ".dm3": "Gatan DM3",
    ".dm4": "Gatan DM4", ".mrc": "MRC", ".c01": "Cellomics", ".flex": "Opera Flex",
}  # fmt: skip
GIT_LFS = b"version https://git-lfs.github.com/spec/"
WEB_PAGES = (b"<!doctype html", b"<html", b"<head", b"<body")
OTHERS = (
    (b"PK\x03\x04", "is a ZIP archive: unpack it first"),
    (b"\x1f\x8b", "is a gzip archive: unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "is a 7z archive: unpack it first"),
    (b"Rar!", "is a RAR archive: unpack it first"),
    (b"%PDF", "is a PDF document, not an image"),
    (b"\x89HDF\r\n\x1a\n", "is an HDF5 file: save the image as OME-TIFF"),
    (b"<?xml", "is an XML text, not an image"),
)


def refuse(path: Path, start: bytes) -> ImageError:
    """Return an error that explains what an unsupported file is; the caller raises it.

    Args:
        path: The file.
        start: Its first bytes, up to 512.

    Returns:
        An error whose field `found` names what the file is, if it was recognised.
    """
    if start.startswith(GIT_LFS):
        return ImageError(
            f"{path} is a Git LFS pointer, not the image itself: fetch it with 'git lfs pull'",
            file=path,
            key="format",
            found="Git LFS",
        )
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith(WEB_PAGES):
        return ImageError(
            f"{path} is a web page saved under the name of an image: download the image itself",
            file=path,
            key="format",
            found="HTML",
        )
    title = UNREAD.get(path.suffix.lower())
    if title is not None:
        return ImageError(
            f"{path} is {title}, which cannot be read: save it as OME-TIFF, in Fiji for example",
            file=path,
            key="format",
            found=title,
            expected="OME-TIFF",
        )
    for beginning, sentence in OTHERS:
        if text.startswith(beginning.lower()) or start.startswith(beginning):
            found = beginning.decode("latin-1")
            return ImageError(f"{path} {sentence}", file=path, key="format", found=found)
    if not start.strip(b"\0"):
        return ImageError(
            f"{path} is not an image: it begins with zeros (the copy may be incomplete)",
            file=path,
            key="format",
            found="zeros",
        )
    return ImageError(f"{path} is not an image that can be read", file=path)

"""Image files, read by window: one reader per format, found by content and ending.

What belongs here: opening a file as `ImageSource`s, and listing the images of a folder. What does
not: images in memory and normalisation (`bigkingxxl.images`).
"""

from bigkingxxl.io.images.folders import FoundImages, ImageFile, find_images
from bigkingxxl.io.images.image_files import (
    DEFAULT_PIXEL_LIMIT,
    ImageHeader,
    open_image,
    open_images,
    read_header,
)

__all__ = ["DEFAULT_PIXEL_LIMIT", "FoundImages", "ImageFile", "ImageHeader", "find_images",
           "open_image", "open_images", "read_header"]  # fmt: skip

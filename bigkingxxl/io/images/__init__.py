"""Image files, read by window: one reader a format, found by content and ending."""

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

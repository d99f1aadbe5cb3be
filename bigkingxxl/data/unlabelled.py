"""Find images without annotations for semi-supervised training, excluding validation images."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from bigkingxxl.data.dataset import Dataset, file_ends
from bigkingxxl.display_text import counted
from bigkingxxl.errors import ImageError, InputError
from bigkingxxl.images import ImageSource
from bigkingxxl.io.images import find_images, open_image

log = logging.getLogger(__name__)


def unlabelled_images(
    data: Dataset, places: Sequence[str], validation: Sequence[str], training: Sequence[str] = ()
) -> list[Path]:
    """Find image files in some places, or the unlabelled images of the data set.

    They may differ in size and bit depth, because each is normalised by its own statistics.

    Args:
        data: The data set.
        places: Folders, files or patterns; if empty, those of the data set.
        validation: The ids of the validation images.
        training: The ids of annotated training images; a warning names those that are found again.

    Raises:
        InputError: There are none, or one is a validation image (by name or pixels).
        ImageError: One cannot be read, or has a different number of channels.
    """
    named = [file.path for file in find_images(places).files] if places else []
    paths = named or sorted(data.unlabelled)
    if not paths:
        raise InputError(
            f"{data.root} has no images without annotation (train_semi_supervised/): name a folder "
            "of them with --unlabelled DIR, or train without with --no-unlabelled",
            file=data.root,
            key="--unlabelled",
        )
    channels = data.source(data.ids[0]).channels
    judged = {_digest(data.source(image_id)): image_id for image_id in validation}
    for path in paths:
        source = open_image(path)
        if source.channels != channels:
            raise ImageError(
                f"{path} has {source.channels} channels, but the annotated images have {channels}",
                file=path,
                key="channels",
                found=source.channels,
                expected=channels,
            )
        twin = path.stem if path.stem in validation else judged.get(_digest(source))
        if twin is not None:
            raise InputError(
                f"{path} is the validation image {twin}: a model must not train on what it is "
                "judged by, not even without its annotation",
                file=path,
                found=twin,
            )
    _warn_of_annotated(data, paths, training)
    return paths


def _warn_of_annotated(data: Dataset, paths: Sequence[Path], training: Sequence[str]) -> None:
    """Warn of files that are also annotated training images."""
    known = {data.image_path(image_id).resolve() for image_id in training}
    lengths = {path.stat().st_size for path in known}
    contents = {file_ends(path) for path in known}
    again = [
        path for path in paths
        if path.stat().st_size in lengths and file_ends(path) in contents
    ]  # fmt: skip
    if again:
        log.warning(
            "%s without annotation %s annotated in the data set as well: %s",
            counted(len(again), "image"), "is" if len(again) == 1 else "are", again[0],
        )  # fmt: skip


def _digest(source: ImageSource) -> bytes:
    return sha256(repr(source.shape).encode() + source.read().tobytes()).digest()

"""Choose the images of an evaluation: a fold, or a list of ids in a file."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from bigkingxxl.data.dataset import open_dataset
from bigkingxxl.data.split import fold_ids
from bigkingxxl.errors import FormatError, InputError
from bigkingxxl.evaluation.truth import Ids, Truth


def ids_of_fold(truth: Truth, fold: int, folds_file: Path | None = None) -> Ids:
    """Return the validation images of a fold; see `data.split.fold_ids`.

    Raises:
        InputError: The truth is not part of a data set that can be split, or has no such fold.
    """
    known = set(truth.ids)
    validation = fold_ids(open_dataset(truth.path), fold, folds_file=folds_file)[1]
    return tuple(image_id for image_id in validation if image_id in known)


def ids_of_file(path: Path, known: Collection[str]) -> Ids:
    """Read the ids of images from a text file: one id or file name per line; '#' starts a comment.

    Raises:
        InputError: The file cannot be read, or is empty.
        FormatError: An image is not `known`.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}", file=path) from error
    except UnicodeDecodeError as error:
        raise FormatError(f"{path} is not text with one image per line", file=path) from error
    ids: dict[str, None] = {}
    for number, line in enumerate(lines, start=1):
        name = line.partition("#")[0].strip()
        if not name:
            continue
        image_id = name if name in known else Path(name).stem
        if image_id not in known:
            raise FormatError(
                f"{path} line {number}: '{name}' is not an image of the truth",
                file=path,
                line=number,
                found=name,
            )
        ids[image_id] = None
    if not ids:
        raise InputError(f"{path} names no images, expected one per line", file=path)
    return tuple(ids)

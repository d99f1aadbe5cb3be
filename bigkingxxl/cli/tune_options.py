"""The options of `bigkingxxl tune`, and the images and the file that they stand for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bigkingxxl.data.base import Dataset
    from bigkingxxl.model_card import ModelCard


@dataclass(frozen=True)
class TuneOptions:
    """The options of `bigkingxxl tune`.

    Attributes:
        model: The file of a model or an ensemble, or the name of a shipped model.
        data: The annotated images.
        fold: The fold whose validation images are used; None for all images.
        folds: The split, if it is not that of the data set.
        out: The file for a tuned copy; None changes the model itself.
        plots: The folder for plots of the mAP over each parameter.
        maps: The folder that keeps the output of the network.
        asked: The requested test-time augmentation; None tries one.
        force: Whether to use images on which the model was trained.
        device: The device.
        seed: The seed of the halves of the cross-fitted score.
        as_json: Whether to print JSON.
        skip_bad: Whether to skip images that cannot be read.
        quiet: Whether to show no progress.
    """

    model: str
    data: Path
    fold: int | None = None
    folds: Path | None = None
    out: Path | None = None
    plots: Path | None = None
    maps: Path | None = None
    asked: tuple[str, ...] | None = None
    force: bool = False
    device: str = "auto"
    seed: int = 0
    as_json: bool = False
    skip_bad: bool = False
    quiet: bool = False

    @contextmanager
    def maps_folder(self) -> Iterator[Path]:
        """Yield the folder for the network's output, which is temporary unless one was named."""
        if self.maps is not None:
            yield self.maps
            return
        with TemporaryDirectory(prefix="bigkingxxl-") as temporary:
            yield Path(temporary)


def asked_views(tta: str) -> tuple[str, ...] | None:
    """Parse the test-time augmentation; None if the command is to choose it.

    Raises:
        InputError: It is unknown.
    """
    from bigkingxxl.evaluation.augmentation_trial import AUTO
    from bigkingxxl.test_time_augmentation import asked_augmentations

    return None if tta == AUTO else asked_augmentations(tta, "--tta")


def where_to(model: str, path: Path, out: Path | None) -> Path:
    """Return the file to write: the model's own, or a copy.

    Raises:
        InputError: The model is shipped and no path for its copy is given, or the copy has another
            suffix.
    """
    from bigkingxxl.errors import InputError
    from bigkingxxl.shipped_models import shipped_model

    if out is None:
        if shipped_model(model) is not None:
            raise InputError(
                f"'{model}' is a shipped model: name a file for the tuned copy with --out",
                key="--out",
                found=model,
            )
        return path
    if out.suffix != path.suffix:
        raise InputError(
            f"--out is {out}, expected a name that ends in {path.suffix} as the model",
            file=out,
            key="--out",
            expected=path.suffix,
        )
    return out


def chosen_ids(annotated: Dataset, fold: int | None, folds: Path | None) -> tuple[str, ...]:
    """Return the images of a fold, or all of them.

    Raises:
        InputError: A split is given without a fold, or there is no such fold.
    """
    from bigkingxxl.data.split import fold_ids
    from bigkingxxl.errors import InputError

    if fold is None:
        if folds is not None:
            raise InputError(
                "--folds names a split: choose the fold to tune on with --fold", key="--fold"
            )
        return annotated.ids
    return fold_ids(annotated, fold, folds_file=folds)[1]


def of_its_types(
    card: ModelCard, annotated: Dataset, ids: Sequence[str]
) -> tuple[tuple[str, ...], list[str]]:
    """Return the images of the model's cell types, and sentences on the others.

    Raises:
        InputError: There are none.
    """
    from bigkingxxl.errors import InputError
    from bigkingxxl.evaluation.tuning import ids_to_tune

    types = {image_id: annotated.cell_type(image_id) for image_id in ids}
    own = ids_to_tune(card.type_names, annotated.type_names, types)
    if len(own) == len(ids):
        return own, []
    names = ", ".join(card.type_names)
    if not own:
        raise InputError(
            f"none of {len(ids)} images shows cells of what the model is made for ({names})",
            key="cell_types",
            expected=names,
        )
    left = len(ids) - len(own)
    return own, [f"{left} of {len(ids)} images are left out: the model is made for {names}"]


def on_blurred(annotated: Dataset, ids: Sequence[str]) -> list[str]:
    """Return a sentence on the images whose annotated cells look out of focus, if there are any."""
    from bigkingxxl.evaluation.cells_as_predicted import note_on_blurred

    note = note_on_blurred(annotated.source, {each: annotated.instances(each) for each in ids})
    return [] if note is None else [note]

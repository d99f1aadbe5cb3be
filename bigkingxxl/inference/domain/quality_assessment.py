"""An assessment of the cells found in an image: the expected quality and reasons for doubt."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bigkingxxl.candidates import Candidates
from bigkingxxl.images import ImageSource
from bigkingxxl.inference.domain.domain_check import warnings_for
from bigkingxxl.inference.domain.quality_features import expected_quality
from bigkingxxl.inference.domain.sharpness import OUT_OF_FOCUS
from bigkingxxl.instances import Instances
from bigkingxxl.model_card import ModelCard

FINE_TUNE = "fine-tune on five of them (`bigkingxxl train finetune`)"
MOST_NAMES = 3


@dataclass(frozen=True)
class QualityAssessment:
    """The assessment of one image.

    Attributes:
        expected_quality: See `bigkingxxl.expected_quality`; None if it is unknown.
        warnings: Sentences about the image that a user should read.
    """

    expected_quality: float | None = None
    warnings: tuple[str, ...] = ()


def assess_quality(
    card: ModelCard, source: ImageSource, candidates: Candidates, cells: Instances
) -> QualityAssessment:
    """Judge the cells of an image.

    A model that predicts quality warns of images for which it expects a low one, and says how they
    differ from the training images. Any other model warns of each image that differs.

    Args:
        card: The card of the model.
        source: The image.
        candidates: The candidates, which hold the scale of the prediction.
        cells: The cells selected from them.
    """
    if source.statistics.is_blank:
        return QualityAssessment()
    quality = expected_quality(card, candidates, cells)
    unlike = warnings_for(card, source, candidates, cells)
    if quality is None or card.quality is None:
        return QualityAssessment(quality, tuple(unlike))
    if quality >= card.quality.low:
        return QualityAssessment(quality)
    return QualityAssessment(
        quality, (f"expected quality {quality:.2f}: many outlines are probably inaccurate", *unlike)
    )


def advice(
    card: ModelCard,
    images: int,
    found: Iterable[tuple[str, QualityAssessment]],
    size_given: bool,
    option: str = "--diameter",
) -> str:
    """Summarise the judgements of a run in a sentence on the images that need checking, or "".

    It names the images with a low expected quality or, if there are none, the images with warnings.

    Args:
        card: The card of the model.
        images: The number of images.
        found: The names and judgements of the images that have one.
        size_given: Whether the user gave the cell size.
        option: How the user gives the cell size.
    """
    known = list(found)
    blurred = [name for name, each in known if _is_blurred(each)]
    known = [(name, each) for name, each in known if not _is_blurred(each)]
    sentences = (_on_blurred(images, blurred, option),
                 _on_poor(card, images, known, size_given, option))  # fmt: skip
    return "; ".join(filter(None, sentences))


def _is_blurred(found: QualityAssessment) -> bool:
    return any(each.startswith(OUT_OF_FOCUS) for each in found.warnings)


def _on_blurred(images: int, names: Sequence[str], option: str) -> str:
    """Name the images that have no cells because they are out of focus."""
    if not names:
        return ""
    keep = "--keep-blurred" if option.startswith("-") else "predict(keep_blurred=True)"
    verb, have = ("is", "has") if len(names) == 1 else ("are", "have")
    return (
        f"{_of_all(names, images)} {verb} out of focus and {have} no cells ({_first(names)}): "
        f"`{keep}` counts what is seen there"
    )


def _on_poor(
    card: ModelCard,
    images: int,
    known: Sequence[tuple[str, QualityAssessment]],
    size_given: bool,
    option: str,
) -> str:
    """Name the images that are probably outlined poorly, or unlike the training images."""
    limit = 0.0 if card.quality is None else card.quality.low
    low = [name for name, each in known if (each.expected_quality or 0.0) < limit
           and each.expected_quality is not None]  # fmt: skip
    names = low or [name for name, each in known if each.warnings]
    if not names:
        return ""
    is_one = len(names) == 1
    what = ("is" if is_one else "are") + " probably outlined poorly"
    if not low:
        what = ("differs" if is_one else "differ") + " from the training images"
    mend = f"check the given size of the cells, or {FINE_TUNE}" if size_given else FINE_TUNE
    if card.median_diameter is not None and not size_given:
        mend = f"try `{option}` with the diameter of a typical cell in pixels, or {FINE_TUNE}"
    return f"{_of_all(names, images)} {what} ({_first(names)}): {mend}"


def _first(names: Sequence[str]) -> str:
    more = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def _of_all(names: Sequence[str], images: int) -> str:
    return f"{len(names)} of {images} {'image' if images == 1 else 'images'}"

"""What there is to say of the cells found in one image: how good they may be, and why not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bigkingxxl.candidates import Candidates
from bigkingxxl.images import ImageSource
from bigkingxxl.inference.domain.domain_check import warnings_for
from bigkingxxl.inference.domain.expected_quality import expected_quality
from bigkingxxl.instances import Instances
from bigkingxxl.models import ModelCard

FINE_TUNE = "fine-tune on five of them (`bigkingxxl train finetune`)"
MOST_NAMES = 3


@dataclass(frozen=True)
class Judgement:
    """Of one image.

    Attributes:
        expected_quality: see `bigkingxxl.quality`; None where nothing is known.
        warnings: sentences on what the user should know of the image.
    """

    expected_quality: float | None = None
    warnings: tuple[str, ...] = ()


def judge(
    card: ModelCard, source: ImageSource, candidates: Candidates, cells: Instances
) -> Judgement:
    """What a model's card and what was seen say of an image's cells.

    A model that foretells quality warns of what it expects to be bad, and says what is unlike its
    training images in there. Any other warns of all images that are unlike them.

    Args:
        candidates: of the image, with the size it was seen at; cells: selected from them.
    """
    if source.statistics.is_blank:
        return Judgement()
    quality = expected_quality(card, candidates, cells)
    unlike = warnings_for(card, source, candidates, cells)
    if quality is None or card.quality is None:
        return Judgement(quality, tuple(unlike))
    if quality >= card.quality.low:
        return Judgement(quality)
    return Judgement(
        quality, (f"expected quality {quality:.2f}: many outlines are probably inaccurate", *unlike)
    )


def advice(
    card: ModelCard,
    images: int,
    found: Iterable[tuple[str, Judgement]],
    size_given: bool,
    option: str = "--diameter",
) -> str:
    """A sentence for a whole run on the images that need a look, or "".

    Those that are likely to be outlined badly are named; where there is none, those of which there
    is anything to say.

    Args:
        images: how many there are; found: the name of each of which something is known.
        size_given: the user said how large the cells are; option: how this is said.
    """
    known = list(found)
    limit = 0.0 if card.quality is None else card.quality.low
    low = [name for name, each in known if (each.expected_quality or 0.0) < limit
           and each.expected_quality is not None]  # fmt: skip
    names = low or [name for name, each in known if each.warnings]
    if not names:
        return ""
    is_one = len(names) == 1
    what = ("is" if is_one else "are") + " probably outlined poorly"
    if not low:
        what = ("looks" if is_one else "look") + " unlike the training images"
    mend = FINE_TUNE
    if card.median_diameter is not None and not size_given:
        mend = f"try `{option}` with the diameter of a typical cell in pixels, or {FINE_TUNE}"
    more = len(names) - MOST_NAMES
    shown = ", ".join(names[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
    of_all = f"{len(names)} of {images} {'image' if images == 1 else 'images'}"
    return f"{of_all} {what} ({shown}): {mend}"

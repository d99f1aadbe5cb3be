"""The judgement of an image, and the one sentence on a whole run."""

from __future__ import annotations

import numpy as np
import pytest

from bigkingxxl.expected_quality import ExpectedQuality, Term
from bigkingxxl.images import ArrayImage
from bigkingxxl.inference.domain.quality_assessment import (
    QualityAssessment,
    advice,
    assess_quality,
)
from bigkingxxl.model_card import ModelCard
from bigkingxxl.runs.selection import blurred_sentence
from tests.inference.domain.test_quality_features import candidates, cells, textured
from tests.small_models import small_card


def foretelling(base: float) -> ModelCard:
    """A model that expects the same of every image, and was trained on one texture only."""
    quality = ExpectedQuality(
        terms={"hits": Term(centre=0.0, spread=1.0, weight=0.0)}, base=base, low=0.2
    )
    return small_card(("cell",), quality=quality, image_statistics={"coarse": (0.8, 0.9)})


def test_a_low_expected_quality_is_explained() -> None:
    found = cells(30)
    seen, image = candidates(found), textured(100)
    bad = assess_quality(foretelling(0.1), image, seen, found)
    assert bad.expected_quality == pytest.approx(0.1)
    assert len(bad.warnings) == 2
    assert "0.10" in bad.warnings[0]
    assert "differs from the training images" in bad.warnings[1]
    good = assess_quality(foretelling(0.3), image, seen, found)
    assert good == QualityAssessment(0.3)


def test_without_expected_quality_images_are_compared_with_training() -> None:
    found, image = cells(30), textured(100)
    model = foretelling(0.1)
    for card, own in ((model.changed(quality=None), found), (model, cells(0))):
        (sentence,) = assess_quality(card, image, candidates(own), own).warnings
        assert "from the training images" in sentence


def test_a_blank_image_gives_no_warning() -> None:
    none = cells(0)
    image = ArrayImage(np.zeros((200, 300)))
    assert assess_quality(foretelling(0.1), image, candidates(none), none) == QualityAssessment()


BAD, GOOD, ODD = (
    QualityAssessment(0.1, ("bad",)),
    QualityAssessment(0.5),
    QualityAssessment(None, ("odd",)),
)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({"a": GOOD, "b": GOOD}, None),
        ({"a": GOOD, "b": BAD}, "1 of 2 images is probably outlined poorly (b): "),
        ({"a": BAD, "b": BAD, "c": ODD}, "2 of 3 images are probably outlined poorly (a, b): "),
        ({"a": ODD, "b": GOOD}, "1 of 2 images differs from the training images (a): "),
        (dict.fromkeys("abcde", ODD), "5 of 5 images differ from the training images (a, b, c and"),
        ({"a": BAD}, "1 of 1 image is probably"),
    ],
)  # fmt: skip
def test_the_run_in_a_sentence(found: dict[str, QualityAssessment], expected: str | None) -> None:
    said = advice(foretelling(0.3), len(found), found.items(), size_given=False)
    assert said.startswith(expected) if expected else said == ""


def test_a_diameter_is_recommended_if_it_may_help() -> None:
    card = foretelling(0.3)
    sized = card.changed(median_diameter=16.0)
    assert "--diameter" not in advice(card, 1, [("a", BAD)], size_given=False)
    assert "--diameter" in advice(sized, 1, [("a", BAD)], size_given=False)
    assert "--diameter" not in advice(sized, 1, [("a", BAD)], size_given=True)
    assert "`d=`" in advice(sized, 1, [("a", BAD)], size_given=False, option="d=")
    assert "finetune" in advice(sized.changed(quality=None), 1, [("a", ODD)], size_given=True)


def test_an_image_that_is_out_of_focus_is_told_apart_from_one_that_is_unlike() -> None:
    blurred = QualityAssessment(
        None, (blurred_sentence(3), "its texture is unlike the training images")
    )
    alone = advice(foretelling(0.3), 2, [("a", blurred)], size_given=False)
    assert "--keep-blurred" in alone
    assert "unlike" not in alone
    both = advice(foretelling(0.3), 2, [("a", blurred), ("b", BAD)], size_given=False)
    assert "(a)" in both
    assert "(b)" in both
    in_python = advice(foretelling(0.3), 1, [("a", blurred)], False, "predict(diameter=...)")
    assert "keep_blurred=True" in in_python

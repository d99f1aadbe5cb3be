"""How a fine-tuning is checked."""

from __future__ import annotations

from pydantic import Field

from bigkingxxl.settings import Settings


class FinetuneSettings(Settings):
    """A fine-tuning that keeps the starting model unless the new one is better.

    Its limit of time is the training's, `training.max_cpu_minutes`: the choice of settings, the
    trainings that are checked and the last one share it.

    Attributes:
        checks: how often a part of the images is kept back and a model is trained without it; what
            these models make of the images that they lack says whether training helps.
        check_share: share of the time that these trainings take together.
        confidence: that a gain is above 0 on images alike, before something new is kept (one-sided
            Student interval over images).
    """

    checks: int = Field(2, ge=2, le=20)
    check_share: float = Field(0.5, gt=0, lt=1)
    confidence: float = Field(0.9, gt=0.5, lt=1)

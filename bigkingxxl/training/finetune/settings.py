"""The settings of the checks of a fine-tuning."""

from __future__ import annotations

from pydantic import Field

from bigkingxxl.settings import Settings


class FinetuneSettings(Settings):
    """The checks of a fine-tuning, which keeps the starting model unless the new one is better.

    The time limit is `training.max_cpu_minutes`, shared by the choice of settings, the checked
    trainings and the final one.

    Attributes:
        checks: The number of trainings without a part of the images; the scores of these models on
            the images that they lack decide whether training helps.
        check_share: The fraction of the time that these trainings take together.
        confidence: The confidence that the gain is above 0 (one-sided Student interval over images)
            that is required to keep a change.
    """

    checks: int = Field(2, ge=2, le=20)
    check_share: float = Field(0.5, gt=0, lt=1)
    confidence: float = Field(0.9, gt=0.5, lt=1)

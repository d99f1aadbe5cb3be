"""The progress of a fine-tuning as events that a program can read."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bigkingxxl.errors import OutputError

Event = dict[str, Any]
Report = Callable[[Event], None]
PROGRESS_FILE = "progress.jsonl"
SETTINGS_STAGE, CHECK_STAGE, TRAIN_STAGE = "settings", "check", "train"
# The fraction of the whole that is done after each stage, if both stages run.
ENDS = {SETTINGS_STAGE: 0.07, CHECK_STAGE: 0.55, TRAIN_STAGE: 1.0}
SECONDS_BETWEEN = 0.5  # between two progress events


class Progress:
    """Reports the progress of a fine-tuning to a caller and writes it to a file.

    Args:
        report: Called with each event.
        file: Gets one line per event.
        stages: The stages to run, in order.
    """

    def __init__(self, report: Report, file: Path, stages: tuple[str, ...]) -> None:
        self.report, self.file, self.stages = report, file, stages
        self.began, self._told = time.monotonic(), 0.0
        self._overall = 0.0

    def tell(self, event: str, **values: Any) -> None:
        """Report an event at once."""
        line: Event = {"event": event, "seconds": round(time.monotonic() - self.began, 2)} | values
        try:
            with self.file.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(line, allow_nan=False) + "\n")
        except OSError as error:
            raise OutputError(
                f"{self.file} cannot be written: {error.strerror}", file=self.file
            ) from error
        self.report(line)

    def minutes(self) -> float:
        """Return the minutes since the start."""
        return (time.monotonic() - self.began) / 60

    def note(self, text: str) -> None:
        """Report a sentence that a user should read."""
        self.tell("note", text=text)

    def at(
        self, stage: str, done: float, text: str, minutes_left: float | None = None,
        *, always: bool = False,
    ) -> None:  # fmt: skip
        """Report the progress of a stage, at most twice per second unless `always` is set."""
        now = time.monotonic()
        if not always and now - self._told < SECONDS_BETWEEN:
            return
        self._told = now
        self._overall = max(self._overall, self._of_all(stage, min(max(done, 0.0), 1.0)))
        more: Mapping[str, Any] = (
            {} if minutes_left is None else {"minutes_left": round(minutes_left, 2)}
        )
        self.tell("progress", stage=stage, done=round(done, 4), overall=round(self._overall, 4),
                  text=text, **more)  # fmt: skip

    def _of_all(self, stage: str, done: float) -> float:
        if self.stages == (stage,):
            return done
        place = self.stages.index(stage)
        begin = ENDS[self.stages[place - 1]] if place else 0.0
        return begin + done * (ENDS[stage] - begin)

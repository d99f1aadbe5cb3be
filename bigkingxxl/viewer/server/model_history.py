"""The models of a folder: the one it started with, and those that were learned here."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bigkingxxl.errors import FormatError
from bigkingxxl.files import write_json
from bigkingxxl.viewer.contract import LearnResult, ModelInfo

MODELS = "models"  # within the folder of corrections
HISTORY = "history.json"
START = "start"


@dataclass(frozen=True)
class LearnedModel:
    """A model that was learned here and accepted.

    Attributes:
        id: The name of its folder.
        file: Its file within the folder of models.
        before: The score before, on images not used for learning.
        after: The score after.
        images: The number of images used for learning.
    """

    id: str
    file: str
    made: str
    images: int
    before: float | None = None
    after: float | None = None


@dataclass(frozen=True)
class ModelHistory:
    """The models of a folder.

    Attributes:
        folder: Their folder.
        known: The models, the oldest first.
        current: The id of the current one.
    """

    folder: Path
    known: tuple[LearnedModel, ...] = ()
    current: str = START
    start: str = field(default="", compare=False)

    @classmethod
    def load(cls, corrections: Path, start: str) -> ModelHistory:
        """Read the models of a folder of corrections.

        Args:
            corrections: The folder of corrections.
            start: The name of the model that the folder started with.

        Raises:
            FormatError: The file is damaged.
        """
        folder = corrections / MODELS
        path = folder / HISTORY
        if not path.is_file():
            return cls(folder, start=start)
        try:
            values = json.loads(path.read_bytes())
            known = tuple(LearnedModel(**each) for each in values["models"])
            return cls(folder, known, str(values["current"]), str(values["start"]))
        except (OSError, ValueError, TypeError, LookupError, RecursionError) as error:
            raise FormatError(f"{path} is damaged: {error}", file=path) from error

    def new_folder(self) -> Path:
        """Return a folder for the next model, which is not created."""
        name = time.strftime("%Y-%m-%d_%H%M%S")
        taken = {each.id for each in self.known}
        number = 1
        while (name_of := name if number == 1 else f"{name}_{number}") in taken or (
            self.folder / name_of
        ).exists():
            number += 1
        return self.folder / name_of

    def taken(self, file: Path, result: LearnResult) -> ModelHistory:
        """Add a model, make it the current one, and write the history.

        Raises:
            OutputError: It cannot be written.
        """
        inner = file.relative_to(self.folder)
        known = LearnedModel(
            inner.parts[0], inner.as_posix(), time.strftime("%Y-%m-%dT%H:%M:%S%z"), result.images,
            result.before, result.after,
        )  # fmt: skip
        found = replace(self, known=(*self.known, known), current=known.id)
        values: dict[str, Any] = {
            "start": found.start, "current": found.current,
            "models": [vars(each) for each in found.known],
        }  # fmt: skip
        write_json(self.folder / HISTORY, values)
        return found

    @property
    def model(self) -> str:
        """Return the name or file of the current model."""
        for each in self.known:
            if each.id == self.current:
                return str(self.folder / each.file)
        return self.start

    def infos(self) -> tuple[ModelInfo, ...]:
        """Return descriptions of the models for the page."""
        first = ModelInfo(
            id=START, name=Path(self.start).name or "unknown", is_current=self.current == START
        )
        return (first, *(
            ModelInfo(id=each.id, name=each.id, made=each.made, images=each.images,
                      before=each.before, after=each.after, is_current=each.id == self.current)
            for each in self.known))  # fmt: skip

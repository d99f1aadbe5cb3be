"""The learning of a folder that has not come to its end: begun, or waiting for the user's choice.

It outlives the program: what trained overnight is still there to be taken in the morning.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from bigkingxxl.errors import OutputError
from bigkingxxl.files import write_text
from bigkingxxl.viewer.contract import LearnRequest, LearnResult

log = logging.getLogger(__name__)
FILE = "learning.json"  # within the folder of models


@dataclass(frozen=True)
class Unfinished:
    """A learning.

    Attributes:
        id: of its folder; request: what was asked for; init: name or file of the model that it
            began with.
        model: the file that it made, within the folder of models; result: what is asked about.
            Both are None until then.
    """

    id: str
    request: LearnRequest
    init: str
    model: str | None = None
    result: LearnResult | None = None

    @classmethod
    def load(cls, models: Path) -> Unfinished | None:
        """That of a folder of models, or None."""
        try:
            return _ADAPTER.validate_json((models / FILE).read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            log.warning("%s cannot be read: %s", models / FILE, error)
            return None

    def write(self, models: Path) -> None:
        """Keep it.

        Raises:
            OutputError: it cannot be written.
        """
        write_text(models / FILE, _ADAPTER.dump_json(self, indent=2).decode())


def forget(models: Path) -> None:
    """It came to its end."""
    with suppress(FileNotFoundError):
        try:
            (models / FILE).unlink()
        except PermissionError as error:
            raise OutputError(
                f"{models / FILE} cannot be removed: {error.strerror}", file=models / FILE
            ) from error


_ADAPTER: TypeAdapter[Unfinished] = TypeAdapter(Unfinished)

"""The unfinished learning of a folder: running, or waiting for the user's decision.

It outlives the program: the result of a training overnight can be accepted in the morning.
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
class PendingLearning:
    """A learning job.

    Attributes:
        id: The name of its folder.
        request: The request.
        init: The name or file of the starting model.
        model: The resulting file within the folder of models; None until it exists.
        result: The result to decide on; None until it exists.
    """

    id: str
    request: LearnRequest
    init: str
    model: str | None = None
    result: LearnResult | None = None

    @classmethod
    def load(cls, models: Path) -> PendingLearning | None:
        """Read the learning job of a folder of models, or return None."""
        try:
            return _ADAPTER.validate_json((models / FILE).read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            log.warning("%s cannot be read: %s", models / FILE, error)
            return None

    def write(self, models: Path) -> None:
        """Write the job to the folder of models.

        Raises:
            OutputError: It cannot be written.
        """
        write_text(models / FILE, _ADAPTER.dump_json(self, indent=2).decode())


def forget(models: Path) -> None:
    """Remove the finished job."""
    with suppress(FileNotFoundError):
        try:
            (models / FILE).unlink()
        except PermissionError as error:
            raise OutputError(
                f"{models / FILE} cannot be removed: {error.strerror}", file=models / FILE
            ) from error


_ADAPTER: TypeAdapter[PendingLearning] = TypeAdapter(PendingLearning)

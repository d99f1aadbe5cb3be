"""What changed."""

from __future__ import annotations

from typing import Literal

from bigkingxxl.viewer.contract.common import (
    Count,
    Wire,
)
from bigkingxxl.viewer.contract.jobs import (
    Job,
)
from bigkingxxl.viewer.contract.strip import (
    ImageEntry,
)


class Event(Wire):
    """Something changed.

    Attributes:
        number: rising by one.
        kind: 'image': `image` is new (predicted, edited; `window` says by which window);
            'job': `job`; 'folder': ask for /api/folder and /api/images again; 'windows': other
            images are open in other windows than before.
    """

    number: Count
    kind: Literal["image", "job", "folder", "windows"]
    image: ImageEntry | None = None
    window: str = ""
    job: Job | None = None


class EventList(Wire):
    """Events after a number. `missed`: some are forgotten, load everything anew."""

    newest: int
    missed: bool = False
    events: tuple[Event, ...]

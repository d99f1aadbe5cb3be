"""Events: notifications of changes."""

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
    """A notification that something has changed.

    Attributes:
        number: The number of the event, ascending by one.
        kind: 'image': `image` has changed (predicted, or edited by the window `window`); 'job':
            `job` has changed; 'folder': request /api/folder and /api/images again; 'windows':
            other windows have opened other images.
    """

    number: Count
    kind: Literal["image", "job", "folder", "windows"]
    image: ImageEntry | None = None
    window: str = ""
    job: Job | None = None


class EventList(Wire):
    """The events after a number; if `missed`, some are gone: the page loads everything again."""

    newest: int
    missed: bool = False
    events: tuple[Event, ...]

"""The contract of server and page: every route, and everything that crosses the wire.

The page's types are generated from `schema()`, and tests hold both sides to it.

What belongs here: types of requests and answers, and the list of routes. What does not: how the
server answers them (`viewer.server`), and rules about cells.

Access
    `bigkingxxl view` prints `http://127.0.0.1:PORT/?token=TOKEN`. Opening it sets a cookie
    (HttpOnly, SameSite=Strict) and leads to `/`. Programs may send `Authorization: Bearer TOKEN`
    instead. Everything else is answered by 403 (no token, another origin, another host).

Errors
    Every 4xx and 5xx of `/api/` is a `Problem`: one sentence for the user. 409 on an edit is a
    `Conflict`. 507 is a full disk: nothing of the request is on disk; keep the edit and send it
    again. 503 with `read_only`: the folder cannot be written.

Images
    An image is named in routes by its `key`, letters and digits. Pixels count row by row:
    `place = row * width + col`. A run of pixels is a start and a length and stays in its row.

Rasters
    `/pixels` gives PNG of 8 bits, gray, or RGB with `channel=rgb`. `/labels` gives the cell
    numbers, 0 for background, as raw little-endian uint16 or uint32, row by row, compressed by
    Content-Encoding (a browser undoes that). Headers: `X-Dtype` ('uint16' or 'uint32'), `X-Height`,
    `X-Width`, `X-Revision`. Both take `level` (0 is full size; level L has
    ceil(size / 2**L) pixels; of labels every 2**L-th pixel is taken) and, for a tile, `row` and
    `col`, its number down and across, at that level, `tile_side` pixels a side, cut at the border.
    Without `row` and `col` it is the whole level; refused above `whole_limit` pixels a side.
    `reviewed` gives uint8 the same way (1 where reviewed).

    query of /pixels: level, row, col, channel, low, high (intensities that become 0 and 255;
    default: the channel's `low` and `high`)
    query of /labels: level, row, col, min_score, min_area: with one of the last two it is a
    preview, cells selected anew from the stored candidates, and nothing is changed

Edits
    An edit is what changed, with what was there before: pixels as `runs`, four whole numbers each
    (place, length, old number, new number), rising and disjoint; attributes of cells before and
    after; the reviewed region likewise with 0 and 1. Undo is one more edit, turned around. The
    server takes an edit only where all `old` and `before` are what it has, and every number in the
    raster has attributes afterwards and nothing else has. `revision` counts the image's edits;
    `seq` counts the edits of one window (1, 2, ...) on one image: sent again, an edit is answered
    as the first time and not made twice. An answer means that it is on disk.
    Of an image that has no corrections the revision is 0 and its cells are the prediction's.

Events
    `/api/events?after=N` answers at once with what is newer than N, or waits up to `wait` seconds
    (default 20) for it. `after=-1` tells the present number alone.
"""

from __future__ import annotations

from bigkingxxl.viewer.contract.common import (
    CONTRACT_VERSION,
    LARGEST_CELL,
    CellNumber,
    Count,
    JobKind,
    JobState,
    Key,
    Origin,
    Problem,
    TypeName,
    Unit,
    WindowId,
    Wire,
)
from bigkingxxl.viewer.contract.edits import (
    CellChange,
    Conflict,
    DoneChange,
    Edit,
    EditAccepted,
    EditList,
    PastEdit,
)
from bigkingxxl.viewer.contract.events import (
    Event,
    EventList,
)
from bigkingxxl.viewer.contract.folder import (
    ExportFormat,
    Extra,
    Folder,
    ModelInfo,
    Settings,
)
from bigkingxxl.viewer.contract.image import (
    Candidate,
    CandidateList,
    Cell,
    CellTable,
    Channel,
    ImageInfo,
    Level,
    Measurement,
)
from bigkingxxl.viewer.contract.jobs import (
    ComparedImage,
    ExportRequest,
    Job,
    JobList,
    LearnRequest,
    LearnResult,
)
from bigkingxxl.viewer.contract.presence import (
    Presence,
    PresenceAnswer,
)
from bigkingxxl.viewer.contract.routes import (
    PLACE,
    RASTER,
    ROUTES,
    SLIDERS,
    Route,
    models,
    schema,
)
from bigkingxxl.viewer.contract.strip import (
    ImageEntry,
    ImageList,
    Strip,
)

__all__ = [
    "CONTRACT_VERSION",
    "LARGEST_CELL",
    "PLACE",
    "RASTER",
    "ROUTES",
    "SLIDERS",
    "Candidate",
    "CandidateList",
    "Cell",
    "CellChange",
    "CellNumber",
    "CellTable",
    "Channel",
    "ComparedImage",
    "Conflict",
    "Count",
    "DoneChange",
    "Edit",
    "EditAccepted",
    "EditList",
    "Event",
    "EventList",
    "ExportFormat",
    "ExportRequest",
    "Extra",
    "Folder",
    "ImageEntry",
    "ImageInfo",
    "ImageList",
    "Job",
    "JobKind",
    "JobList",
    "JobState",
    "Key",
    "LearnRequest",
    "LearnResult",
    "Level",
    "Measurement",
    "ModelInfo",
    "Origin",
    "PastEdit",
    "Presence",
    "PresenceAnswer",
    "Problem",
    "Route",
    "Settings",
    "Strip",
    "TypeName",
    "Unit",
    "WindowId",
    "Wire",
    "models",
    "schema",
]

"""The contract between server and page: every route, and the types of everything they exchange.

The types of the page are generated from `schema()`, and tests check both sides against it.

What belongs here: types of requests and answers, and the list of routes. What does not: how the
server answers them (`viewer.server`), and rules about cells.

Access
    `bigkingxxl view` prints `http://127.0.0.1:PORT/?token=TOKEN`. Opening it sets a cookie
    (HttpOnly, SameSite=Strict) and redirects to `/`. Programs may send
    `Authorization: Bearer TOKEN` instead. All other requests are answered with 403 (no
    token, another origin, another host).

Errors
    Every 4xx and 5xx of `/api/` is a `Problem`: one sentence for the user. 409 on an edit is a
    `Conflict`. 507 means a full disk: nothing of the request was stored; keep the edit and send it
    again. 503 with `read_only`: the folder cannot be written.

Images
    Routes identify an image by its `key` of letters and digits. Pixels are numbered row by row:
    `place = row * width + col`. A run of pixels is a start and a length within one row.

Rasters
    `/pixels` returns an 8-bit PNG, grey, or RGB with `channel=rgb`. `/labels` returns the cell
    numbers, 0 for background, as raw little-endian uint16 or uint32, row by row, compressed by
    Content-Encoding (which browsers decode). Headers: `X-Dtype` ('uint16' or 'uint32'), `X-Height`,
    `X-Width`, `X-Revision`. Both take `level` (0 is full size; level L has ceil(size / 2**L)
    pixels; labels are sampled at every 2**L-th pixel) and, for a tile, `row` and `col`, its index
    at that level in tiles of `tile_side` pixels, clipped at the border. Without `row` and `col` the
    whole level is returned; it is refused above `whole_limit` pixels per side. `reviewed` returns
    uint8 in the same way (1 where reviewed).

    query of /pixels: level, row, col, channel, low, high (intensities that become 0 and 255;
    default: the channel's `low` and `high`)
    query of /labels: level, row, col, min_score, min_area: with one of the last two it returns a
    preview of cells selected from the stored candidates, and changes nothing

Edits
    An edit contains what changed and what was there before: pixels as `runs`, four integers each
    (place, length, old number, new number), ascending and disjoint; attributes of cells before and
    after; the reviewed region likewise with 0 and 1. Undo is another edit, with both exchanged. The
    server accepts an edit only if all `old` and `before` match its state, and if afterwards exactly
    the numbers in the raster have attributes. `revision` counts the edits of the image; `seq`
    counts the edits of one window (1, 2, ...) on one image: an edit that is sent again gets the
    first answer and is not applied twice. An answer means that the edit is on disk.
    An image without corrections has the revision 0 and the predicted cells.

Events
    `/api/events?after=N` answers at once with what is newer than N, or waits up to `wait` seconds
    (default 20) for it. `after=-1` returns the current number only.
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

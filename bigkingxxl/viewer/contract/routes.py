"""All routes, and a common schema of them and of every type."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from bigkingxxl.viewer.contract.common import (
    CONTRACT_VERSION,
    Problem,
    Wire,
)
from bigkingxxl.viewer.contract.edits import (
    Conflict,
    Edit,
    EditAccepted,
    EditList,
)
from bigkingxxl.viewer.contract.events import (
    EventList,
)
from bigkingxxl.viewer.contract.folder import (
    Folder,
    Settings,
)
from bigkingxxl.viewer.contract.image import (
    CandidateList,
    CellTable,
    ImageInfo,
)
from bigkingxxl.viewer.contract.jobs import (
    ExportRequest,
    Job,
    JobList,
    LearnRequest,
)
from bigkingxxl.viewer.contract.presence import (
    Presence,
    PresenceAnswer,
)
from bigkingxxl.viewer.contract.strip import (
    ImageEntry,
    ImageList,
    Strip,
)


class Route(NamedTuple):
    """A route; `answer` is a model, or the media type of other content."""

    method: Literal["GET", "POST", "PUT"]
    path: str
    answer: type[Wire] | str
    request: type[Wire] | None = None
    query: tuple[str, ...] = ()


RASTER = "application/octet-stream"
PLACE = ("level", "row", "col")
SLIDERS = ("min_score", "min_area")
ROUTES = (
    Route("GET", "/", "text/html", query=("token",)),
    Route("GET", "/page/{file}", "page files", query=()),
    Route("GET", "/api/folder", Folder),
    Route("GET", "/api/images", Strip),
    # The next images to review, largest expected error first, without images that are done and
    # those in `but`.
    Route("GET", "/api/next", ImageList, query=("but",)),
    Route("GET", "/api/images/{key}", ImageInfo),
    Route("GET", "/api/images/{key}/thumbnail", "image/png", query=("v",)),
    Route("GET", "/api/images/{key}/pixels", "image/png",
          query=(*PLACE, "channel", "low", "high")),
    Route("GET", "/api/images/{key}/labels", RASTER, query=(*PLACE, *SLIDERS)),
    Route("GET", "/api/images/{key}/reviewed", RASTER, query=PLACE),
    Route("GET", "/api/images/{key}/cells", CellTable, query=("measurements", *SLIDERS)),
    Route("GET", "/api/images/{key}/candidates", CandidateList),
    Route("GET", "/api/images/{key}/edits", EditList, query=("after",)),
    Route("POST", "/api/images/{key}/edits", EditAccepted, Edit),
    # Predict this image before all others that are waiting.
    Route("POST", "/api/images/{key}/urgent", ImageEntry),
    Route("POST", "/api/presence", PresenceAnswer, Presence),
    Route("PUT", "/api/settings", Job, Settings),
    Route("GET", "/api/jobs", JobList),
    Route("POST", "/api/jobs/learn", Job, LearnRequest),
    Route("POST", "/api/jobs/export", Job, ExportRequest),
    Route("GET", "/api/jobs/{job}", Job),
    Route("POST", "/api/jobs/{job}/cancel", Job),
    Route("POST", "/api/jobs/{job}/resume", Job),
    Route("POST", "/api/jobs/{job}/accept", Job),
    Route("POST", "/api/jobs/{job}/reject", Job),
    # The cells of an image in `result.compared`, before ('before') or after ('after') fine-tuning.
    Route("GET", "/api/jobs/{job}/{which}/{key}/labels", RASTER, query=PLACE),
    # All files of an export in one archive.
    Route("GET", "/api/jobs/{job}/archive", "application/zip"),
    Route("GET", "/api/events", EventList, query=("after", "wait")),
)  # fmt: skip


def models() -> tuple[type[Wire], ...]:
    """Return every type that is exchanged as JSON."""
    found: dict[type[Wire], None] = {Problem: None, Conflict: None}
    for route in ROUTES:
        for each in (route.request, route.answer):
            if isinstance(each, type):
                found[each] = None
    return tuple(found)


def schema() -> dict[str, Any]:
    """Return a JSON schema of all types (`$defs`) and all routes (`x-routes`)."""
    from pydantic.json_schema import models_json_schema

    _, definitions = models_json_schema(
        [(model, "serialization") for model in models()], title="BigKingXXL viewer"
    )
    routes = [
        {
            "method": route.method, "path": route.path, "query": list(route.query),
            "request": route.request.__name__ if route.request else None,
            "answer": route.answer if isinstance(route.answer, str) else route.answer.__name__,
        }
        for route in ROUTES
    ]  # fmt: skip
    return {**definitions, "x-contract": CONTRACT_VERSION, "x-routes": routes}

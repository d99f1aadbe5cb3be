"""The contract of server and page: every route, and everything that crosses the wire.

The page's types are generated from `schema()`, and tests hold both sides to it.

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

from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

CONTRACT_VERSION = 1
LARGEST_CELL = 2**31 - 1

Key = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
WindowId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{8,64}$")]
Count = Annotated[int, Field(ge=0)]
CellNumber = Annotated[int, Field(ge=1, le=LARGEST_CELL)]
Unit = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
TypeName = Annotated[str, Field(max_length=100, pattern=r"^[^\x00-\x1f\x7f]*$")]

# Who made a cell: the model; the model, and a person changed its pixels; a person.
Origin = Literal["model", "edited", "drawn"]
JobKind = Literal["predict", "apply", "learn", "export"]
JobState = Literal["waiting", "running", "asking", "done", "failed", "cancelled"]


class Wire(BaseModel):
    """What crosses the wire; unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


# ---- the folder ---------------------------------------------------------------------------------


class Problem(Wire):
    """Why a request was refused, in one sentence for the user."""

    error: str
    read_only: bool = False


class Settings(Wire):
    """The live sliders; None: as the model has it."""

    min_score: Unit | None = None
    min_area: Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False)] | None = None


class Extra(Wire):
    """Something that is not installed.

    Attributes:
        install: one sentence that says what to type; "" where it is installed.
    """

    install: str = ""


class ModelInfo(Wire):
    """A model of this folder's history.

    Attributes:
        id: 'start' for the one that the folder began with, else of the learn job that made it.
        name: for people; made: ISO time; images: how many reviewed images it learnt from.
        before, after: mean scores on images that it did not learn from, where known.
        is_current: the cells of uncorrected images are from it.
    """

    id: str
    name: str
    made: str = ""
    images: Count = 0
    before: float | None = None
    after: float | None = None
    is_current: bool = False


class Folder(Wire):
    """What is looked at.

    Attributes:
        contract: version of this contract; version: of the software.
        kind: what DIR is; 'annotate' where nothing is predicted.
        path: DIR, to be shown; corrections: where the corrected cells lie; run: where the run lies.
        read_only: why nothing can be changed, one sentence, or "".
        notices: sentences to be shown once.
        type_names: cell types that a cell may be given (a user may add some).
        settings: the sliders' values that the run has; can_apply: one sentence why not, or "".
        tile_side, whole_limit: see the module; max_body: bytes of a request.
        export_formats: what may be exported; learn: whether the second stage of learning is
            installed; models: the history of this folder, the oldest first.
    """

    contract: int
    version: str
    kind: Literal["run", "images", "dataset", "annotate"]
    path: str
    corrections: str
    run: str | None = None
    read_only: str = ""
    notices: tuple[str, ...] = ()
    type_names: tuple[TypeName, ...] = ()
    settings: Settings = Settings()
    can_apply: str = ""
    tile_side: int = 512
    whole_limit: int = 4096
    max_body: int
    export_formats: tuple[str, ...] = ()
    learn: Extra = Extra()
    models: tuple[ModelInfo, ...] = ()


class ImageEntry(Wire):
    """An image in the strip.

    Attributes:
        key: names it in routes; name: its id, for people; file: its file's name within DIR.
        group: the file that it is a frame of, else ""; frame: counted from 0, or None.
        state: 'waiting' to be predicted, 'ready', or 'failed'; failure: why.
        warnings: sentences on the image.
        width, height: in pixels, None before it was opened.
        cells: how many, None where not known; confluence: share covered, 0 to 1.
        expected_error: how much is expected to be wrong, 0 to 1; None where not known. Sorted
            falling, it is the order in which to look.
        revision: how many edits it has; corrected: whether it has any; done: 'image done'.
        reviewed: the share of its pixels that is reviewed, 0 to 1.
        thumbnail: version of its thumbnail, to be added to the address as `?v=`.
    """

    key: Key
    name: str
    file: str
    group: str = ""
    frame: int | None = None
    state: Literal["waiting", "ready", "failed"]
    failure: str = ""
    warnings: tuple[str, ...] = ()
    width: int | None = None
    height: int | None = None
    cells: Count | None = None
    confluence: float | None = None
    expected_error: float | None = None
    revision: Count = 0
    corrected: bool = False
    done: bool = False
    reviewed: float = 0.0
    thumbnail: str = ""


class Strip(Wire):
    """All images, in the order of their names; `event` is the newest event that it knows."""

    images: tuple[ImageEntry, ...]
    event: int


class ImageList(Wire):
    """Keys in the order in which to look."""

    keys: tuple[Key, ...]


# ---- one image ----------------------------------------------------------------------------------


class Channel(Wire):
    """One channel of an image.

    Attributes:
        low, high: intensities that are shown as 0 and 255; minimum, maximum: of all pixels.
        histogram: 256 counts from minimum to maximum (of a subsample of a large image).
    """

    index: Count
    name: str
    low: float
    high: float
    minimum: float
    maximum: float
    histogram: tuple[int, ...]


class Level(Wire):
    """One level of the pyramid; level 0 is the image itself."""

    level: Count
    width: int
    height: int
    rows: int
    cols: int


class ImageInfo(Wire):
    """All about an image but its pixels.

    Attributes:
        pixel_size_um: micrometres (row, column) a pixel, or None.
        levels: of the pyramid; one where the whole image may be asked for.
        is_rgb: `channel=rgb` gives its colours.
        label_dtype: of /labels at this revision; next_cell: a number that no cell has or had.
        has_candidates: whether /candidates has any.
        windows: other windows that have this image open.
        label_file, image_file: where they lie, for people.
    """

    entry: ImageEntry
    channels: tuple[Channel, ...]
    pixel_size_um: tuple[float, float] | None = None
    levels: tuple[Level, ...]
    is_rgb: bool = False
    label_dtype: Literal["uint16", "uint32"] = "uint16"
    next_cell: CellNumber = 1
    has_candidates: bool = False
    windows: Count = 0
    label_file: str = ""
    image_file: str = ""


class Cell(Wire):
    """What is known of a cell beside its pixels.

    Attributes:
        origin: who made it; type: its cell type, "" where not known.
        score: the model's, None for drawn cells and where not known.
    """

    origin: Origin
    type: TypeName = ""
    score: Unit | None = None


class Measurement(Wire):
    """A column of measurements, one value per cell; None: not defined."""

    name: str
    unit: str = ""
    values: tuple[float | None, ...]


class CellTable(Wire):
    """The cells of an image, in the order of `ids`; all columns are of its length.

    Attributes:
        boxes: row0, col0, row1, col1 of each, half-open, one after the other.
        areas: pixels; measurements: only where `measurements=1` was asked for.
    """

    revision: Count
    ids: tuple[int, ...]
    cells: tuple[Cell, ...]
    boxes: tuple[int, ...]
    areas: tuple[int, ...]
    measurements: tuple[Measurement, ...] = ()


class Candidate(Wire):
    """A cell that the model saw and that was not taken.

    Attributes:
        index: in the stored candidates, those of a second look behind them.
        box: row0, col0, row1, col1, half-open.
        runs: place and length of each run of pixels, one after the other.
    """

    index: Count
    score: Unit
    type: TypeName = ""
    box: tuple[int, int, int, int]
    runs: tuple[int, ...]


class CandidateList(Wire):
    """The candidates that no cell was made of, the surest first."""

    candidates: tuple[Candidate, ...]


# ---- edits --------------------------------------------------------------------------------------


class CellChange(Wire):
    """Attributes of a cell before and after; None: there is no such cell."""

    id: CellNumber
    before: Cell | None = None
    after: Cell | None = None


class DoneChange(Wire):
    """'Image done', before and after."""

    before: bool
    after: bool


class Edit(Wire):
    """A change of one image, as a window made it.

    Attributes:
        window: the id of the window that made it; seq: counts its edits of this image from 1.
        revision: the image's revision that the window changed.
        tool: what the user did, for the journal ('brush', 'cut', 'undo' ...).
        runs: place, length, old number, new number of each run of pixels, one after the other.
        cells: attributes that changed; of a cell that appears or goes, `before` or `after` is None.
        reviewed: place, length, old and new (0 or 1) of each run of the reviewed region; done.
    """

    window: WindowId
    seq: Annotated[int, Field(ge=1, le=2**53)]
    revision: Count
    tool: Annotated[str, Field(pattern=r"^[a-z0-9 _-]{1,40}$")]
    runs: tuple[Count, ...] = ()
    cells: tuple[CellChange, ...] = ()
    reviewed: tuple[Count, ...] = ()
    done: DoneChange | None = None


class EditAccepted(Wire):
    """The edit is on disk; `revision` is the image's revision after it."""

    revision: Count
    next_cell: CellNumber


class Conflict(Wire):
    """Another window edited the image, or the page's state is not the server's: load it anew.

    Attributes:
        error: for the user; revision: the image's now; window: whose edit was the last.
    """

    error: str
    revision: Count
    window: str = ""


class PastEdit(Wire):
    """An edit in the journal; `edit.revision` is the one before it."""

    time: str
    edit: Edit


class EditList(Wire):
    """Edits after a revision, the oldest first."""

    revision: Count
    edits: tuple[PastEdit, ...]


class Presence(Wire):
    """A window has an image open (to be said every 20 seconds), or None."""

    window: WindowId
    key: Key | None = None


class PresenceAnswer(Wire):
    """How many other windows have the same image open, and its revision."""

    windows: Count
    revision: Count


# ---- jobs ---------------------------------------------------------------------------------------


class LearnRequest(Wire):
    """Learn from what was reviewed.

    Attributes:
        stage: 1 tunes size, thresholds and minimum area in seconds, without torch; 2 trains too.
        minutes: of training at most.
    """

    stage: Literal[1, 2] = 1
    minutes: Annotated[float, Field(gt=0, le=1440, allow_inf_nan=False)] = 10


class ExportRequest(Wire):
    """Make formats of `predict` and `measure` from the corrected cells."""

    formats: Annotated[tuple[str, ...], Field(min_length=1, max_length=50)]


class ComparedImage(Wire):
    """An image that the new model did not learn from: scores before and after."""

    key: Key
    before: float | None
    after: float | None


class LearnResult(Wire):
    """What came of learning; nothing is taken before the user accepts.

    Attributes:
        stage: that was done; images: how many were learnt from.
        before, after: mean score of the images below; gain: with `gain_low`, `gain_high`, a 95 %
            interval, where there are enough images.
        is_better: whether the program would take it; advice: one sentence.
        changed: what was changed, sentences.
        compared: the images that were not learnt from.
    """

    stage: Literal[1, 2]
    images: Count
    metric: str = "mAP"
    before: float | None
    after: float | None
    gain: float | None = None
    gain_low: float | None = None
    gain_high: float | None = None
    is_better: bool
    advice: str
    changed: tuple[str, ...] = ()
    compared: tuple[ComparedImage, ...] = ()


class Job(Wire):
    """Work in the background.

    Attributes:
        state: 'asking': done, and waits to be accepted or rejected (learn, where it is better).
        done, total: steps, where known; message: what is being done; seconds_left: expected.
        error: why it failed; files: that it made, within the folder.
        can_cancel, can_resume: what may be asked of it now.
        result: of learning.
    """

    id: str
    kind: JobKind
    state: JobState
    done: float = 0
    total: float | None = None
    message: str = ""
    seconds_left: float | None = None
    error: str = ""
    files: tuple[str, ...] = ()
    can_cancel: bool = False
    can_resume: bool = False
    result: LearnResult | None = None


class JobList(Wire):
    """All jobs of this session, the newest first."""

    jobs: tuple[Job, ...]


# ---- events -------------------------------------------------------------------------------------


class Event(Wire):
    """Something changed.

    Attributes:
        number: rising by one.
        kind: 'image': `image` is new (predicted, edited; `window` says by which window);
            'job': `job`; 'folder': ask for /api/folder and /api/images again.
    """

    number: Count
    kind: Literal["image", "job", "folder"]
    image: ImageEntry | None = None
    window: str = ""
    job: Job | None = None


class EventList(Wire):
    """Events after a number. `missed`: some are forgotten, load everything anew."""

    newest: int
    missed: bool = False
    events: tuple[Event, ...]


# ---- routes -------------------------------------------------------------------------------------


class Route(NamedTuple):
    """A route; `answer` is a model, or the media type of something else."""

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
    # The next images to look at, the worst first; those done and those in `but` are left out.
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
    # Predict this image before all others that wait.
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
    # Cells before ('before') and after ('after') learning, of an image in `result.compared`.
    Route("GET", "/api/jobs/{job}/{which}/{key}/labels", RASTER, query=PLACE),
    # All files that an export made, in one archive.
    Route("GET", "/api/jobs/{job}/archive", "application/zip"),
    Route("GET", "/api/events", EventList, query=("after", "wait")),
)  # fmt: skip


def models() -> tuple[type[Wire], ...]:
    """Every type that crosses the wire as JSON."""
    found: dict[type[Wire], None] = {Problem: None, Conflict: None}
    for route in ROUTES:
        for each in (route.request, route.answer):
            if isinstance(each, type):
                found[each] = None
    return tuple(found)


def schema() -> dict[str, Any]:
    """One JSON schema of all types (`$defs`) and of all routes (`x-routes`)."""
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

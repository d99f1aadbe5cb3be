"""The folder: what is looked at, its settings, its models."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from bigkingxxl.viewer.contract.common import (
    Count,
    TypeName,
    Unit,
    Wire,
)


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


class ExportFormat(Wire):
    """A format that the cells may be exported in.

    Attributes:
        name: as `--format` of `predict` has it.
        install: one sentence that says what to type first; "" where nothing is missing.
    """

    name: str
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
    export_formats: tuple[ExportFormat, ...] = ()
    learn: Extra = Extra()
    models: tuple[ModelInfo, ...] = ()

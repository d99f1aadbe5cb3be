"""The folder: its content, settings and models."""

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
    """The thresholds of the sliders; None means the value of the model."""

    min_score: Unit | None = None
    min_area: Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False)] | None = None


class Extra(Wire):
    """An optional part of the program.

    Attributes:
        install: A sentence that explains how to install it; "" if it is installed.
    """

    install: str = ""


class ExportFormat(Wire):
    """A format for exporting cells.

    Attributes:
        name: The name as in `--format` of `predict`.
        install: A sentence that explains what to install first; "" if nothing is missing.
    """

    name: str
    install: str = ""


class ModelInfo(Wire):
    """A model in the history of this folder.

    Attributes:
        id: 'start' for the model that the folder started with, else the id of the fine-tuning
            job that made it.
        name: The name for users.
        made: The time in ISO format.
        images: The number of reviewed images on which it was trained.
        before: The mean score before, on images on which it was not trained, if known.
        after: The mean score after, if known.
        is_current: Whether it predicted the cells of uncorrected images.
    """

    id: str
    name: str
    made: str = ""
    images: Count = 0
    before: float | None = None
    after: float | None = None
    is_current: bool = False


class Folder(Wire):
    """The folder that is open.

    Attributes:
        contract: The version of this contract.
        version: The version of the software.
        kind: The kind of the folder DIR; 'annotate' if nothing is predicted.
        path: DIR, for display.
        corrections: The folder of the corrected cells.
        run: The folder of the run.
        read_only: Why nothing can be changed, in one sentence, or "".
        notices: Sentences to show once.
        type_names: The cell types that a user may assign; the user may add some.
        settings: The slider values of the run.
        can_apply: Why they cannot be changed, in one sentence, or "".
        tile_side: See the module.
        whole_limit: See the module.
        max_body: The largest size of a request in bytes.
        export_formats: The formats for exporting.
        learn: Whether the training of fine-tuning is installed.
        models: The models of this folder, the oldest first.
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

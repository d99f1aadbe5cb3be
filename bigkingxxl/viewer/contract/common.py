"""Common definitions of the contract."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

CONTRACT_VERSION = 1
LARGEST_CELL = 2**31 - 1

Key = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
WindowId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{8,64}$")]
Count = Annotated[int, Field(ge=0)]
CellNumber = Annotated[int, Field(ge=1, le=LARGEST_CELL)]
Unit = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
TypeName = Annotated[str, Field(max_length=100, pattern=r"^[^\x00-\x1f\x7f]*$")]

# The origin of a cell: the model; the model, with pixels changed by a person; a person.
Origin = Literal["model", "edited", "drawn"]
JobKind = Literal["predict", "apply", "learn", "export"]
JobState = Literal["waiting", "running", "asking", "done", "failed", "cancelled"]


class Wire(BaseModel):
    """Base of all messages between server and page; unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Problem(Wire):
    """The reason why a request was refused, as one sentence for the user."""

    error: str
    read_only: bool = False

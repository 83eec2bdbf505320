"""Projects and their quotas, as people write and read them."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from jobs.schemas.json_numbers import json_integer
from relora_core.spec import TextPattern

DEFAULT_QUEUED_JOBS = 10_000  # of a project whose quota is null
_MAX_COUNT = 2**31 - 1  # of what the database's integers hold
_MAX_BYTES = 2**53  # up to here every reader of JSON takes numbers exactly

Count = Annotated[int, Field(ge=0, le=_MAX_COUNT), json_integer]
Bytes = Annotated[int, Field(ge=0, le=_MAX_BYTES), json_integer]
ProjectName = Annotated[
    str,
    Field(
        max_length=63,
        description="Lowercase letters, digits and hyphens; it cannot be changed.",
        examples=["speech-team"],
    ),
    TextPattern(
        r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
        "lowercase letters, digits and hyphens, with a letter or a digit at both ends",
    ),
]


class Quotas(BaseModel):
    """What a project may have at once; null is no limit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    queued_jobs: Count | None = Field(
        default=None,
        description=f"A submit above it is refused; null is {DEFAULT_QUEUED_JOBS:,}.",
    )
    running_jobs: Count | None = Field(default=None, description="Further jobs wait in the queue.")
    gpus: Count | None = Field(default=None, description="GPUs of running jobs; further jobs wait.")
    storage_bytes: Bytes | None = Field(
        default=None,
        description="Bytes of the files of jobs and datasets; above it no submit or upload is "
        "accepted.",
    )


class Usage(BaseModel):
    """What a project has now, by the names of its quotas."""

    model_config = ConfigDict(frozen=True)

    queued_jobs: int
    running_jobs: int
    gpus: int
    storage_bytes: int


class NewProject(BaseModel):
    """A project to make."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={"example": {"name": "speech-team", "quotas": {"gpus": 8}}},
    )

    name: ProjectName
    quotas: Quotas = Quotas()


class ProjectChanges(BaseModel):
    """What to change of a project; quotas that are left out stay as they are."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={"example": {"quotas": {"gpus": 16, "storage_bytes": None}}},
    )

    quotas: Quotas


class Project(BaseModel):
    model_config = ConfigDict(frozen=True)

    name: str
    quotas: Quotas
    created_at: datetime


class ProjectReport(Project):
    """A project, and what it uses of its quotas right now."""

    usage: Usage

"""Projects and their quotas, as people write and read them."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from jobs.schemas.body import Body
from relora_core.spec import TextPattern

DEFAULT_QUEUED_JOBS = 10_000  # the limit if the quota of the project is null
_MAX_COUNT = 2**31 - 1  # the largest integer of the database
_MAX_BYTES = 2**53  # up to here every JSON reader represents integers exactly

Count = Annotated[int, Field(ge=0, le=_MAX_COUNT)]
Bytes = Annotated[int, Field(ge=0, le=_MAX_BYTES)]
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


class Quotas(Body):
    """The most that a project may have at the same time. Null means no limit."""

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
    """The current usage of a project, by the names of its quotas."""

    model_config = ConfigDict(frozen=True)

    queued_jobs: int
    running_jobs: int
    gpus: int
    storage_bytes: int


class NewProject(Body):
    """A request for a new project."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"name": "speech-team", "quotas": {"gpus": 8}}},
    )

    name: ProjectName
    quotas: Quotas = Quotas()


class ProjectChanges(Body):
    """The changes of a project. A quota that is left out stays as it is."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"quotas": {"gpus": 16, "storage_bytes": None}}},
    )

    quotas: Quotas


class Project(BaseModel):
    model_config = ConfigDict(frozen=True)

    name: str
    quotas: Quotas
    created_at: datetime


class ProjectReport(Project):
    """A project, with the current usage of its quotas."""

    usage: Usage
    gpu_hours: float = Field(
        default=0.0, description="Of all its jobs so far, also of those that were deleted."
    )

"""Sweeps as the API shows them: a base spec, a grid of changes, and the jobs to compare."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from jobs.schemas.body import Body
from jobs.schemas.status import JobError, JobStatus
from relora_core.spec import Document, Line


class NewSweep(Body):
    """A base spec and a grid of values. The sweep has a job for each combination."""

    name: Line | None = Field(
        default=None, max_length=100, description="Default: that of the base."
    )
    base: Document = Field(
        max_length=1000, description="A job spec; a field that the grid has may be missing."
    )
    grid: Document = Field(
        min_length=1,
        max_length=200,
        description="Fields, each with a list of values: there is a job for every combination. "
        "A field is a dotted path (`optimizer.learning_rate`), or its last name where only one "
        "field has that name (`rank`); `method` is the method's name.",
    )


class SweepJob(BaseModel):
    """The job of one combination, with its results so far. An unknown value is null."""

    model_config = ConfigDict(frozen=True)

    job_id: str
    name: str
    changes: dict[str, Any] = Field(description="Its values of the grid.")
    status: JobStatus
    step: int
    total_steps: int
    loss: float | None = Field(description="Of training, at the last report.")
    validation_perplexity: float | None
    validation_accuracy: float | None
    validation_step: int | None = Field(
        description="The step at which the two above were measured."
    )
    tokens_per_second: float | None = Field(description="At the last report.")
    peak_memory_bytes: int | None = Field(
        description="Of a GPU, or of a process that trained on a CPU, once the run is complete."
    )
    error: JobError | None


class SweepSummary(BaseModel):
    model_config = ConfigDict(frozen=True)

    id: str
    name: str
    counts: dict[JobStatus, int] = Field(description="How many of its jobs have each status.")
    created_at: datetime


class Sweep(SweepSummary):
    grid: dict[str, Any] = Field(description="As it was asked for.")
    jobs: list[SweepJob] = Field(description="In the order of the grid; deleted ones are left out.")

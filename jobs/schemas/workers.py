"""Workers: their registration, and how the API shows them."""

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field


class Gpu(BaseModel):
    model_config = ConfigDict(frozen=True)

    name: str = Field(examples=["NVIDIA H100 80GB HBM3"])
    memory_bytes: int | None = Field(
        description="null: the driver does not say, as for a GPU that shares the host's memory."
    )


class Registration(BaseModel):
    """The data that a worker registers with."""

    model_config = ConfigDict(frozen=True)

    name: str = Field(description="As in the events of the jobs that it takes.")
    host: str
    version: str = Field(description="Of relora.")
    gpus: tuple[Gpu, ...] = Field(description="Empty: it trains on the CPU.")
    started_at: datetime


class WorkerStatus(StrEnum):
    IDLE = "idle"
    BUSY = "busy"
    UNHEALTHY = "unhealthy"  # it takes no job until its problem is solved


class Worker(Registration):
    status: WorkerStatus
    problem: str | None = Field(
        description="What is wrong with its node, such as a full disk; null if all is well. "
        "A worker with a problem takes no job."
    )
    job_id: str | None = Field(description="The job that it holds; null for another project's.")
    last_heartbeat: datetime

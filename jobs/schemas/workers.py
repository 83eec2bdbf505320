"""Workers: their registration, and how the API shows them."""

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from jobs.schemas.resources import GpuClass


class Gpu(BaseModel):
    """A GPU of a worker. The readings are those of the last heartbeat; null: it has none."""

    model_config = ConfigDict(frozen=True)

    name: str = Field(examples=["NVIDIA H100 80GB HBM3"])
    memory_bytes: int | None = Field(
        description="null: the driver does not say, as for a GPU that shares the host's memory."
    )
    uuid: str | None = Field(default=None, description="As nvidia-smi says it.")
    utilization: float | None = Field(
        default=None, description="Share of the last moments in which a kernel ran, 0 to 1."
    )
    temperature_celsius: float | None = None
    power_watts: float | None = None
    memory_used_bytes: int | None = Field(
        default=None, description="Of all processes, with their CUDA contexts."
    )


class Registration(BaseModel):
    """The data that a worker registers with."""

    model_config = ConfigDict(frozen=True)

    name: str = Field(description="As in the events of the jobs that it takes.")
    host: str
    version: str = Field(description="Of relora.")
    gpus: tuple[Gpu, ...] = Field(description="Empty: it trains on the CPU.")
    gpu_class: GpuClass | None = Field(
        default=None, description="The class of these GPUs, which `resources.gpu` of jobs names."
    )
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

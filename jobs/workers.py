"""The workers there are, as they say themselves every few seconds.

Whether one is busy is not theirs to say: it is, if it holds a job.
"""

import builtins
import json
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import (
    Column,
    ColumnElement,
    Engine,
    Float,
    Integer,
    Row,
    String,
    Table,
    Text,
    and_,
    case,
    delete,
    insert,
    select,
    update,
)

from jobs.columns import Key, UtcDateTime, metadata
from jobs.database import READ_ONLY, database_now
from jobs.status import HELD
from jobs.tables import jobs

BEAT_SECONDS = 15.0
GONE_SECONDS = 4 * BEAT_SECONDS  # without a sign of life

workers = Table(
    "workers",
    metadata,
    Column("name", Key, primary_key=True),
    Column("host", String, nullable=False),
    Column("version", String, nullable=False),
    Column("gpus", Text, nullable=False),
    Column("num_gpus", Integer, nullable=False, server_default="0"),
    Column("problem", Text),
    Column("beat_at", Float(53), nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("last_heartbeat", UtcDateTime, nullable=False),
)


class Gpu(BaseModel):
    model_config = ConfigDict(frozen=True)

    name: str = Field(examples=["NVIDIA H100 80GB HBM3"])
    memory_bytes: int | None = Field(
        description="null: the driver does not say, as for a GPU that shares the host's memory."
    )


class Registration(BaseModel):
    """What a worker says of itself."""

    model_config = ConfigDict(frozen=True)

    name: str = Field(description="As in the events of the jobs that it takes.")
    host: str
    version: str = Field(description="Of relora.")
    gpus: tuple[Gpu, ...] = Field(description="Empty: it trains on the CPU.")
    started_at: datetime


class WorkerStatus(StrEnum):
    IDLE = "idle"
    BUSY = "busy"
    UNHEALTHY = "unhealthy"  # it takes no job until its problem is gone


class Worker(Registration):
    status: WorkerStatus
    problem: str | None = Field(
        description="What is wrong with its node, such as a full disk; null if all is well. "
        "A worker with a problem takes no job."
    )
    job_id: str | None = Field(description="The job that it holds; null for another project's.")
    last_heartbeat: datetime


class WorkerStore:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reads = engine.execution_options(**READ_ONLY)

    def beat(self, worker: Registration, *, problem: str | None = None) -> None:
        """Say that the worker lives, and what is wrong with its node.

        Workers that gave no sign of life for long are forgotten.
        """
        now = {
            "beat_at": database_now(),
            "last_heartbeat": datetime.now(UTC),
            "problem": problem,
        }
        mine = workers.c.name == worker.name
        with self._engine.begin() as connection:
            if connection.execute(update(workers).where(mine).values(now)).rowcount == 0:
                document = worker.model_dump(exclude={"gpus"})
                gpus = json.dumps([gpu.model_dump() for gpu in worker.gpus])
                connection.execute(
                    insert(workers).values(**document, gpus=gpus, num_gpus=len(worker.gpus), **now)
                )
            connection.execute(delete(workers).where(~lives()))

    def leave(self, name: str) -> None:
        with self._engine.begin() as connection:
            connection.execute(delete(workers).where(workers.c.name == name))

    def list(self, *, project: str) -> builtins.list[Worker]:
        """By name. They work for all projects, but of their jobs only one's own are named."""
        held = and_(jobs.c.worker == workers.c.name, jobs.c.status.in_(HELD))
        own = case((jobs.c.project == project, jobs.c.id))
        query = select(workers, jobs.c.id.label("held"), own.label("job_id"))
        query = query.outerjoin(jobs, held).where(lives()).order_by(workers.c.name)
        with self._reads.begin() as connection:
            return [_worker_from(row) for row in connection.execute(query)]


def lives() -> ColumnElement[bool]:
    return workers.c.beat_at > database_now() - GONE_SECONDS


def is_healthy() -> ColumnElement[bool]:
    return and_(lives(), workers.c.problem.is_(None))


def _worker_from(row: Row[*tuple[Any, ...]]) -> Worker:
    return Worker(
        name=row.name,
        host=row.host,
        version=row.version,
        gpus=tuple(Gpu.model_validate(gpu) for gpu in json.loads(row.gpus)),
        status=_status(row),
        problem=row.problem,
        job_id=row.job_id,
        started_at=row.started_at,
        last_heartbeat=row.last_heartbeat,
    )


def _status(row: Row[*tuple[Any, ...]]) -> WorkerStatus:
    if row.held is not None:
        return WorkerStatus.BUSY
    return WorkerStatus.IDLE if row.problem is None else WorkerStatus.UNHEALTHY

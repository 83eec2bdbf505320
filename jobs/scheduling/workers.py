"""The registry of workers, which they update with a heartbeat every `BEAT_SECONDS`.

A worker does not report whether it is busy. It is busy if it holds a job.
"""

import builtins
import json
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Engine, Row, and_, case, delete, insert, select, update

from jobs.database.engine import READ_ONLY, database_now
from jobs.database.tables.jobs import jobs
from jobs.database.tables.workers import workers
from jobs.schemas.status import LEASED
from jobs.schemas.workers import Gpu, Registration, Worker, WorkerStatus

BEAT_SECONDS = 15.0
GONE_SECONDS = 4 * BEAT_SECONDS  # without a heartbeat


class WorkerStore:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reads = engine.execution_options(**READ_ONLY)

    def beat(self, worker: Registration, *, problem: str | None = None) -> None:
        """Record a heartbeat of the worker: its GPUs, and the problem of its node if it has one.

        Delete workers that sent no heartbeat for `GONE_SECONDS`.
        """
        now = {
            "beat_at": database_now(),
            "last_heartbeat": datetime.now(UTC),
            "problem": problem,
            "gpus": json.dumps([gpu.model_dump() for gpu in worker.gpus]),
        }
        mine = workers.c.name == worker.name
        with self._engine.begin() as connection:
            if connection.execute(update(workers).where(mine).values(now)).rowcount == 0:
                document = worker.model_dump(exclude={"gpus"})
                connection.execute(
                    insert(workers).values(**document, num_gpus=len(worker.gpus), **now)
                )
            connection.execute(delete(workers).where(~lives()))

    def leave(self, name: str) -> None:
        with self._engine.begin() as connection:
            connection.execute(delete(workers).where(workers.c.name == name))

    def list(self, *, project: str) -> builtins.list[Worker]:
        """Return the live workers, sorted by name.

        Workers run jobs of all projects. `job_id` is given only for jobs of `project`.
        """
        leased = and_(jobs.c.worker == workers.c.name, jobs.c.status.in_(LEASED))
        own = case((jobs.c.project == project, jobs.c.id))
        query = select(workers, jobs.c.id.label("leased"), own.label("job_id"))
        query = query.outerjoin(jobs, leased).where(lives()).order_by(workers.c.name)
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
        gpu_class=row.gpu_class,
        gpus=tuple(Gpu.model_validate(gpu) for gpu in json.loads(row.gpus)),
        status=_status(row),
        problem=row.problem,
        job_id=row.job_id,
        started_at=row.started_at,
        last_heartbeat=row.last_heartbeat,
    )


def _status(row: Row[*tuple[Any, ...]]) -> WorkerStatus:
    if row.leased is not None:
        return WorkerStatus.BUSY
    return WorkerStatus.IDLE if row.problem is None else WorkerStatus.UNHEALTHY

"""The store of sweeps. Each method is one transaction, so all jobs of a sweep are made, or none."""

import builtins
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, Row, insert, select

from jobs.database.engine import READ_ONLY
from jobs.database.row_mapping import name_from
from jobs.database.tables.jobs import jobs
from jobs.database.tables.sweeps import sweep_jobs, sweeps
from jobs.errors import SweepNotFound
from jobs.scheduling.quotas import lock_project
from jobs.schemas.ids import new_id
from jobs.schemas.status import JobError, JobStatus, RequestedAction
from jobs.schemas.sweeps import NewSweep, Sweep, SweepJob, SweepSummary
from jobs.store.idempotency import IdempotentRequest, made_before, remember
from jobs.store.origin import DIRECT, Origin
from jobs.store.submit import enqueue
from jobs.store.transitions import request_action
from jobs.sweeps.grid import Planned

SweepRow = Row[*tuple[Any, ...]]


@dataclass(frozen=True)
class SubmittedSweep:
    sweep: Sweep
    is_new: bool


class SweepStore:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reads = engine.execution_options(**READ_ONLY)

    def create(
        self,
        new: NewSweep,
        planned: Sequence[Planned],
        *,
        project: str,
        key: str | None = None,
        origin: Origin = DIRECT,
    ) -> SubmittedSweep:
        """Store a sweep and queue its planned jobs, at most once for each idempotency `key`.

        Raise `QuotaExceeded` if a quota is reached, and `IdempotencyConflict` if the key was used
        for another sweep.
        """
        request = IdempotentRequest.of(key, "sweep", new.model_dump_json())
        with self._engine.begin() as connection:
            lock_project(connection, project)
            made = made_before(connection, project, request) if request else None
            sweep_id = made or _add(connection, new, planned, project=project, origin=origin)
            if request and made is None:
                remember(connection, project, request, sweep_id)
            sweep = _get(connection, sweep_id, project)
        return SubmittedSweep(sweep, is_new=made is None)

    def get(self, sweep_id: str, *, project: str) -> Sweep:
        with self._reads.begin() as connection:
            return _get(connection, sweep_id, project)

    def list(
        self, *, project: str, limit: int, before: str | None = None
    ) -> builtins.list[SweepSummary]:
        """Return sweeps, the newest first. `before` is the last id of the previous page."""
        query = select(sweeps).where(sweeps.c.project == project)
        if before is not None:
            query = query.where(sweeps.c.id < before)
        with self._reads.begin() as connection:
            rows = connection.execute(query.order_by(sweeps.c.id.desc()).limit(limit)).all()
            counts = _counts(connection, [row.id for row in rows])
        return [
            SweepSummary(id=row.id, name=row.name, counts=counts[row.id], created_at=row.created_at)
            for row in rows
        ]

    def cancel(self, sweep_id: str, *, project: str) -> Sweep:
        """Cancel each job of a sweep. Jobs that are over stay as they are."""
        with self._engine.begin() as connection:
            for job in _get(connection, sweep_id, project).jobs:
                request_action(connection, job.job_id, RequestedAction.CANCEL)
            return _get(connection, sweep_id, project)


def _add(
    connection: Connection,
    new: NewSweep,
    planned: Sequence[Planned],
    *,
    project: str,
    origin: Origin,
) -> str:
    sweep_id = new_id("swp_")
    values = {
        "id": sweep_id,
        "project": project,
        "name": new.name or new.base.get("name") or planned[0].spec.name.partition("/")[0],
        "grid": json.dumps(new.grid),
        "created_at": datetime.now(UTC),
    }
    connection.execute(insert(sweeps).values(values))
    rows = [
        {
            "sweep_id": sweep_id,
            "job_id": enqueue(connection, one.spec, project=project, origin=origin).id,
            "position": position,
            "changes": json.dumps(one.changes),
        }
        for position, one in enumerate(planned)
    ]
    connection.execute(insert(sweep_jobs), rows)
    return sweep_id


def _get(connection: Connection, sweep_id: str, project: str) -> Sweep:
    query = select(sweeps).where(sweeps.c.id == sweep_id, sweeps.c.project == project)
    sweep = connection.execute(query).one_or_none()
    if sweep is None:
        raise SweepNotFound(sweep_id)
    members = select(jobs, sweep_jobs.c.changes).join(sweep_jobs)
    members = members.where(sweep_jobs.c.sweep_id == sweep_id).order_by(sweep_jobs.c.position)
    side_by_side = [_job_from(row) for row in connection.execute(members)]
    return Sweep(
        id=sweep.id,
        name=sweep.name,
        grid=json.loads(sweep.grid),
        counts=Counter(job.status for job in side_by_side),
        created_at=sweep.created_at,
        jobs=side_by_side,
    )


def _counts(connection: Connection, ids: Sequence[str]) -> dict[str, Counter[JobStatus]]:
    counts: dict[str, Counter[JobStatus]] = {sweep_id: Counter() for sweep_id in ids}
    query = select(sweep_jobs.c.sweep_id, jobs.c.status).join(jobs)
    for row in connection.execute(query.where(sweep_jobs.c.sweep_id.in_(ids))):
        counts[row.sweep_id][row.status] += 1
    return counts


def _job_from(row: SweepRow) -> SweepJob:
    told = json.loads(row.progress)
    return SweepJob(
        job_id=row.id,
        name=name_from(row.spec),
        changes=json.loads(row.changes),
        status=row.status,
        **{name: told.get(name) for name in _TOLD},
        error=JobError.model_validate_json(row.error) if row.error else None,
    )


_TOLD = (
    "step",
    "total_steps",
    "loss",
    "validation_perplexity",
    "validation_accuracy",
    "validation_step",
    "tokens_per_second",
    "peak_memory_bytes",
)

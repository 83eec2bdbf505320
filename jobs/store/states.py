"""The states of many jobs, to follow a whole project: which have changed, and to what."""

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Engine, or_, select

from jobs.database.engine import READ_ONLY
from jobs.database.row_mapping import state_from
from jobs.database.tables.jobs import jobs
from jobs.scheduling.queue_order import positions
from jobs.schemas.job import JobState
from jobs.schemas.status import FINAL
from jobs.store.filters import JobFilter


class Version(NamedTuple):
    """It differs after each change of a job."""

    last_event: int
    updated_at: datetime


class StateStore:
    def __init__(self, engine: Engine) -> None:
        self._reads = engine.execution_options(**READ_ONLY)

    def versions(self, wanted: JobFilter, *, project: str, since: datetime) -> dict[str, Version]:
        """Return the versions of the jobs that are not over, or have changed since then."""
        is_current = or_(jobs.c.status.not_in(FINAL), jobs.c.updated_at >= since)
        query = select(jobs.c.id, jobs.c.last_event, jobs.c.updated_at).where(
            is_current, *wanted.conditions(project)
        )
        with self._reads.begin() as connection:
            return {row.id: Version(*row[1:]) for row in connection.execute(query)}

    def states(self, job_ids: Collection[str]) -> list[JobState]:
        """Return the states of those jobs that there are, in the order of their last change."""
        query = select(jobs).where(jobs.c.id.in_(job_ids)).order_by(jobs.c.updated_at)
        with self._reads.begin() as connection:
            rows = connection.execute(query).all()
            waiting = positions(connection, rows)
        return [state_from(row, waiting.get(row.id)) for row in rows]

    def existing(self, job_ids: Collection[str]) -> set[str]:
        query = select(jobs.c.id).where(jobs.c.id.in_(job_ids))
        with self._reads.begin() as connection:
            return set(connection.scalars(query))

"""The store and queue of generations, in SQLite or PostgreSQL.

People request generations, and generators claim them. Every method is one transaction. The number
of the attempt is a fencing token: a generator that was too slow, or gave the generation back, can
no longer write to it. Projects take turns, and each may have `MAX_QUEUED` generations in the
queue. So no project blocks the generations of others.
"""

import builtins
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Row,
    ScalarSelect,
    and_,
    func,
    insert,
    select,
    update,
)

from jobs.database.engine import READ_ONLY, database_now
from jobs.database.tables.generations import generations
from jobs.database.tables.jobs import jobs, projects
from jobs.errors import GenerationNotFound, JobNotFound, TooManyGenerations
from jobs.scheduling.quotas import lock_project_of
from jobs.schemas.generations import GeneratedText, Generation, GenerationStatus, NewGeneration
from jobs.schemas.ids import new_id
from jobs.schemas.status import JobError
from relora_core.spec import read_accepted

MAX_QUEUED = 100  # for each project

NOBODY = JobError(
    code="no_generator",
    message="No generator took it in time. Is one running? (`python -m worker.generator`)",
)
LOST = JobError(code="generator_lost", message="Its generator gave no result in time; ask again.")


@dataclass(frozen=True)
class Claim:
    """A generation that a generator has claimed, with the number of the attempt."""

    generation: Generation
    attempt: int


class GenerationStore:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reads = engine.execution_options(**READ_ONLY)

    def create(self, job_id: str, new: NewGeneration, *, step: int, seconds: float) -> Generation:
        """Queue a generation. It fails if no generator claims it within `seconds`.

        Raise `TooManyGenerations` if the project has `MAX_QUEUED` generations in the queue.
        """
        statement = insert(generations).values(
            id=new_id("gen_"),
            job_id=job_id,
            status=GenerationStatus.QUEUED,
            step=step,
            request=new.model_dump_json(),
            attempt=0,
            deadline=database_now() + seconds,
            created_at=datetime.now(UTC),
        )
        with self._engine.begin() as connection:
            _check_queue(connection, job_id)
            return _generation_from(connection.execute(statement.returning(generations)).one())

    def get(self, job_id: str, generation_id: str) -> Generation:
        which = and_(generations.c.job_id == job_id, generations.c.id == generation_id)
        with self._reads.begin() as connection:
            row = connection.execute(select(generations).where(which)).one_or_none()
        if row is None:
            raise GenerationNotFound(job_id, generation_id)
        return _generation_from(row)

    def list(
        self, job_id: str, *, limit: int = 50, before: str | None = None
    ) -> builtins.list[Generation]:
        """Return generations, the newest first. `before` is the last id of the previous page."""
        query = select(generations).where(generations.c.job_id == job_id)
        if before is not None:
            query = query.where(generations.c.id < before)
        with self._reads.begin() as connection:
            rows = connection.execute(query.order_by(generations.c.id.desc()).limit(limit)).all()
            if not rows and connection.scalar(select(jobs.c.id).where(jobs.c.id == job_id)) is None:
                raise JobNotFound(job_id)
        return [_generation_from(row) for row in rows]

    # --- for generators --------------------------------------------------------------------

    def claim(self, *, worker: str, seconds: float) -> Claim | None:
        """Claim a queued generation for at most `seconds`.

        It is the oldest generation of the project whose last turn was longest ago. Return None if
        none is queued.
        """
        in_order = (
            select(generations.c.id)
            .join(jobs, jobs.c.id == generations.c.job_id)
            .join(projects, projects.c.name == jobs.c.project)
            .where(_QUEUED)
            .order_by(projects.c.last_generation_turn, generations.c.id)
        )
        with self._reads.begin() as connection:
            waiting = connection.scalar(in_order.limit(1))
        if waiting is None:
            return None
        with self._engine.begin() as connection:
            row = _change(
                connection,
                and_(generations.c.id == waiting, _QUEUED),
                status=GenerationStatus.RUNNING,
                attempt=generations.c.attempt + 1,
                worker=worker,
                deadline=database_now() + seconds,
            )
            if row is None:
                return None
            # A number, not a time: two claims may come within one tick of the clock.
            turn = select(func.max(projects.c.last_generation_turn) + 1).scalar_subquery()
            taken = update(projects).where(projects.c.name == _project_of(row.job_id))
            connection.execute(taken.values(last_generation_turn=turn))
        return Claim(_generation_from(row), row.attempt)

    def tell(self, claim: Claim, text: str) -> None:
        """Store the text as far as it has come."""
        with self._engine.begin() as connection:
            _change(connection, _held(claim), text=text)

    def succeed(self, claim: Claim, result: GeneratedText) -> None:
        self._end(
            claim, GenerationStatus.SUCCEEDED, text=result.text, result=result.model_dump_json()
        )

    def fail(self, claim: Claim, error: JobError) -> None:
        self._end(claim, GenerationStatus.FAILED, error=error.model_dump_json())

    def give_back(self, claim: Claim, *, seconds: float) -> None:
        """Queue the generation again because the generator must stop (preemption, shutdown).

        It fails if no other generator claims it within `seconds`.
        """
        deadline = database_now() + seconds
        with self._engine.begin() as connection:
            _change(
                connection,
                _held(claim),
                status=GenerationStatus.QUEUED,
                text="",
                worker=None,
                deadline=deadline,
            )

    def expire(self) -> builtins.list[str]:
        """Fail the generations that were not claimed or finished in time; return their ids."""
        late = generations.c.deadline < database_now()
        ended: builtins.list[str] = []
        for status, error in ((_QUEUED, NOBODY), (_RUNNING, LOST)):
            values = {
                "status": GenerationStatus.FAILED,
                "error": error.model_dump_json(),
                "finished_at": datetime.now(UTC),
            }
            statement = update(generations).where(status, late).values(values)
            with self._engine.begin() as connection:
                ended += connection.scalars(statement.returning(generations.c.id))
        return ended

    def _end(self, claim: Claim, status: GenerationStatus, **values: str) -> None:
        now = datetime.now(UTC)
        with self._engine.begin() as connection:
            _change(connection, _held(claim), status=status, finished_at=now, **values)


_QUEUED = generations.c.status == GenerationStatus.QUEUED
_RUNNING = generations.c.status == GenerationStatus.RUNNING


def _project_of(job_id: str) -> ScalarSelect[str]:
    return select(jobs.c.project).where(jobs.c.id == job_id).scalar_subquery()


def _check_queue(connection: Connection, job_id: str) -> None:
    """Raise `TooManyGenerations` if the project has too many generations in the queue.

    It locks the project, so that only one request at a time counts and inserts.
    """
    project = lock_project_of(connection, job_id)
    if project is None:
        raise JobNotFound(job_id)
    queued = (
        select(func.count()).select_from(generations).join(jobs, jobs.c.id == generations.c.job_id)
    )
    queued = queued.where(_QUEUED, jobs.c.project == project.name)
    if (connection.scalar(queued) or 0) >= MAX_QUEUED:
        raise TooManyGenerations(MAX_QUEUED)


def _held(claim: Claim) -> ColumnElement[bool]:
    mine = and_(generations.c.id == claim.generation.id, generations.c.attempt == claim.attempt)
    return and_(mine, _RUNNING)


def _change(
    connection: Connection, which: ColumnElement[bool], **values: object
) -> Row[*tuple[Any, ...]] | None:
    statement = update(generations).where(which).values(values).returning(generations)
    return connection.execute(statement).one_or_none()


def _generation_from(row: Row[*tuple[Any, ...]]) -> Generation:
    return Generation(
        id=row.id,
        job_id=row.job_id,
        status=row.status,
        step=row.step,
        request=read_accepted(NewGeneration, json.loads(row.request)),
        text=row.text,
        result=GeneratedText.model_validate_json(row.result) if row.result else None,
        error=JobError.model_validate_json(row.error) if row.error else None,
        created_at=row.created_at,
        finished_at=row.finished_at,
    )

"""The writes of the worker that holds a job, from the claim to the end of the attempt.

Every method is one transaction. All methods but the claims take the number of the attempt, which
is the fencing token. They raise `LeaseLost` if another attempt, or none, holds the job.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Engine,
    and_,
    case,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
)

from jobs.database.engine import READ_ONLY, database_now
from jobs.database.row_mapping import job_from, progress_document, progress_from
from jobs.database.tables.jobs import artifacts, jobs
from jobs.errors import LeaseLost
from jobs.inputs import users_of
from jobs.metrics import recording
from jobs.scheduling.placement import fits, is_left_to_others
from jobs.scheduling.queue_order import first
from jobs.scheduling.quotas import has_room, lock_project_of
from jobs.schemas.events import JobClaimed, JobPublished, JobStarted, JobWarned, Lines
from jobs.schemas.job import Artifact, Job
from jobs.schemas.profiles import ProfileRequest
from jobs.schemas.progress import advance
from jobs.schemas.status import LEASED, JobError, JobStatus, RequestedAction
from jobs.store import event_log
from jobs.store.transitions import (
    JobRow,
    Target,
    announce,
    can_become,
    change,
    gpu_seconds_so_far,
    leased_by,
    release,
    requested_or,
    to,
    transition,
)
from relora_core.events import ProfileSaved

MAX_NODE_FAULTS = 20
_NO_PROFILE = {"profile_steps": None, "profile_event": None}


@dataclass(frozen=True)
class Requests:
    """What people requested of the worker that holds a job."""

    action: RequestedAction | None
    profile: ProfileRequest | None


class AttemptStore:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reads = engine.execution_options(**READ_ONLY)

    def claim(
        self,
        job_id: str,
        *,
        worker: str,
        lease_seconds: float,
        gpus: int = 0,
        gpu_class: str | None = None,
    ) -> Job | None:
        """Take a queued job under a lease, for a worker with `gpus` GPUs of a class.

        Return None if the job is not queued (any more), if the worker may not run it, or if its
        project has no room for it in its quotas now.
        """
        with self._engine.begin() as connection:
            lock_project_of(connection, job_id)
            row = transition(
                connection,
                job_id,
                JobStatus.STARTING,
                has_room(),
                fits(gpus, gpu_class),
                waiting_for_quota=False,
                attempt=jobs.c.attempt + 1,
                worker=worker,
                lease_until=database_now() + lease_seconds,
                held_gpus=jobs.c.gpus if gpus else 0,
                counted_at=database_now(),
            )
            if row is None:
                _wait_for_quota(connection, job_id)
                return None
            announce(connection, row, JobClaimed(worker=worker))
        return job_from(row)

    def claim_next(
        self, *, worker: str, lease_seconds: float, gpus: int = 0, gpu_class: str | None = None
    ) -> Job | None:
        """Take the first job of the queue that this worker may run now.

        Return None if there is no such job. The project of the job must have room in its quotas,
        and the job must not be in its backoff pause. A job that just failed on this worker is left
        to other workers, if it fits any of them.
        """
        while (job_id := self._first(worker, gpus, gpu_class)) is not None:
            job = self.claim(
                job_id, worker=worker, lease_seconds=lease_seconds, gpus=gpus, gpu_class=gpu_class
            )
            if job is not None:  # else another worker took the job, or it now waits for its quota
                return job
        return None

    def _first(self, worker: str, gpus: int, gpu_class: str | None) -> str | None:
        may_run = and_(
            fits(gpus, gpu_class),
            or_(~jobs.c.waiting_for_quota, has_room()),
            jobs.c.not_before <= database_now(),
            ~is_left_to_others(worker, gpus),
        )
        with self._reads.begin() as connection:
            job_id: str | None = connection.scalar(first(may_run))
        return job_id

    def started(self, job_id: str, attempt: int, *, resumed_from: int | None) -> None:
        """Record that the trainer runs.

        `resumed_from` is the step of the checkpoint that it resumes from, if there was one.
        """
        now = literal(datetime.now(UTC), jobs.c.started_at.type)
        with self._engine.begin() as connection:
            row = transition(
                connection,
                job_id,
                JobStatus.RUNNING,
                leased_by(attempt),
                started_at=func.coalesce(jobs.c.started_at, now),
            )
            row = _still_leased(row, job_id, attempt)
            announce(connection, row, JobStarted(worker=row.worker, resumed_from=resumed_from))

    def renew(self, job_id: str, attempt: int, *, lease_seconds: float) -> Requests:
        """Extend the lease. Return what people requested meanwhile."""
        lease_until = database_now() + lease_seconds
        with self._engine.begin() as connection:
            row = change(
                connection,
                job_id,
                leased_by(attempt),
                lease_until=lease_until,
                **gpu_seconds_so_far(),
            )
        row = _still_leased(row, job_id, attempt)
        asked = row.profile_event is not None
        profile = (
            ProfileRequest(steps=row.profile_steps, event=row.profile_event) if asked else None
        )
        return Requests(row.requested_action, profile)

    def append(
        self, job_id: str, attempt: int, lines: Lines, *, reported_by: int | None = None
    ) -> None:
        """Store lines of the trainer's event file by their number; skip those stored before.

        `reported_by` is the earlier attempt whose trainer wrote the lines, if it was not this one.
        """
        if not lines:
            return
        with self._engine.begin() as connection:
            row = _still_leased(change(connection, job_id, leased_by(attempt)), job_id, attempt)
            reporter = attempt if reported_by is None else reported_by
            new = event_log.not_recorded(connection, lines, job_id=job_id, attempt=reporter)
            if not new:
                return
            first = row.last_event + 1
            event_log.record(connection, new, job_id=job_id, first=first, attempt=reporter)
            recording.record(connection, new, job_id=job_id, first=first, attempt=reporter)
            progress = advance(progress_from(row), (event for _, event in new))
            profiled = any(isinstance(event, ProfileSaved) for _, event in new)
            change(
                connection,
                job_id,
                leased_by(attempt),
                last_event=row.last_event + len(new),
                progress=progress_document(progress),
                **(_NO_PROFILE if profiled else {}),
            )

    def warn(self, job_id: str, attempt: int, code: str, message: str) -> None:
        """Log a warning about the job that comes from the worker, not from the trainer."""
        self._say(job_id, attempt, JobWarned(code=code, message=message))

    def published(self, job_id: str, attempt: int, *, repo: str, url: str) -> None:
        """Record that the model was pushed to the Hub repository `repo`, at `url`."""
        self._say(job_id, attempt, JobPublished(repo=repo, url=url))

    def add_artifacts(
        self, job_id: str, attempt: int, files: Sequence[Artifact], *, folder: str | None = None
    ) -> list[str]:
        """Add files to the list of the job's artifacts. The files must be complete in the storage.

        They replace the listed files with the same paths. With `folder`, they are all the files of
        that folder and replace every file that was listed in it. Return the keys of the replaced
        files.
        """
        if not files:
            return []
        rows = [{"job_id": job_id, **file.model_dump()} for file in files]
        same = artifacts.c.path.in_([file.path for file in files])
        replaced = same if folder is None else _inside(folder)
        with self._engine.begin() as connection:
            _still_leased(change(connection, job_id, leased_by(attempt)), job_id, attempt)
            keys = _unlist(connection, job_id, replaced)
            connection.execute(insert(artifacts), rows)
        return sorted(set(keys) - {file.key for file in files})

    def expire_artifacts(self, job_id: str, attempt: int, folder: str) -> list[str]:
        """Remove the files of a folder from the list of artifacts and return their keys.

        While the folder is an input of a job that is not over, remove nothing and return no keys.
        """
        with self._engine.begin() as connection:
            _still_leased(change(connection, job_id, leased_by(attempt)), job_id, attempt)
            if users_of(connection, job_id, folder=folder):
                return []
            return _unlist(connection, job_id, _inside(folder))

    # --- the end of an attempt -------------------------------------------------------------

    def finish(
        self, job_id: str, attempt: int, status: JobStatus, *, error: JobError | None = None
    ) -> JobStatus:
        """End the attempt and return the new status of the job.

        If a person asked to cancel the job, a pause becomes a cancel. The status `failed` needs
        an `error`.
        """
        target = to(status)
        if status is JobStatus.PAUSED:
            target = case(
                (jobs.c.requested_action == RequestedAction.CANCEL, to(JobStatus.CANCELLED)),
                else_=target,
            )
        guard = and_(leased_by(attempt), can_become(status))
        return self._release(job_id, attempt, guard, target, error)

    def requeue(self, job_id: str, attempt: int) -> JobStatus:
        """Put the job back into the queue because the worker must leave (preemption, shutdown).

        It does not count as a failed attempt. If a person requested an action, do that instead.
        """
        target = requested_or(to(JobStatus.QUEUED))
        return self._release(job_id, attempt, leased_by(attempt), target, None)

    def retry(self, job_id: str, attempt: int, error: JobError) -> JobStatus:
        """Queue the job again, or let it fail after `retries.max_attempts` failed attempts.

        If a person requested an action, do that instead.
        """
        return self._release(job_id, attempt, leased_by(attempt), _RETRIED, error)

    def give_back(self, job_id: str, attempt: int, error: JobError) -> JobStatus:
        """Queue the job again after an error of the node; the attempt does not count as failed.

        After `MAX_NODE_FAULTS` such errors the job fails, because it may be their cause. If a
        person requested an action, do that instead.
        """
        faults, guard = jobs.c.node_faults, leased_by(attempt)
        target = _queued_while(faults + 1 < MAX_NODE_FAULTS)
        return self._release(job_id, attempt, guard, target, error, counter=faults)

    def expire_leases(self) -> list[str]:
        """Retry the jobs whose lease has expired, each in its own transaction. Return their ids."""
        overdue = and_(jobs.c.status.in_(LEASED), jobs.c.lease_until < database_now())
        with self._reads.begin() as connection:
            lost = connection.execute(select(jobs.c.id, jobs.c.worker).where(overdue)).all()
        return [job_id for job_id, worker in lost if self._expire(job_id, worker, overdue)]

    def _expire(self, job_id: str, worker: str, overdue: ColumnElement[bool]) -> bool:
        error = JobError(code="worker_lost", message=f"Worker {worker} gave no sign of life.")
        with self._engine.begin() as connection:
            return release(connection, job_id, overdue, _RETRIED, error) is not None

    def _say(self, job_id: str, attempt: int, event: JobWarned | JobPublished) -> None:
        with self._engine.begin() as connection:
            row = change(connection, job_id, leased_by(attempt), last_event=jobs.c.last_event + 1)
            announce(connection, _still_leased(row, job_id, attempt), event)

    def _release(
        self,
        job_id: str,
        attempt: int,
        guard: ColumnElement[bool],
        target: Target,
        error: JobError | None,
        *,
        counter: Column[int] = jobs.c.failed_attempts,
    ) -> JobStatus:
        with self._engine.begin() as connection:
            row = release(connection, job_id, guard, target, error, counter=counter)
        status: JobStatus = _still_leased(row, job_id, attempt).status
        return status


def _queued_while(attempts_left: ColumnElement[bool]) -> Target:
    return requested_or(
        case((attempts_left, to(JobStatus.QUEUED)), else_=to(JobStatus.FAILED)),
    )


_RETRIED = _queued_while(jobs.c.failed_attempts + 1 < jobs.c.max_attempts)


def _still_leased(row: JobRow | None, job_id: str, attempt: int) -> JobRow:
    if row is None:
        raise LeaseLost(job_id, attempt)
    return row


def _inside(folder: str) -> ColumnElement[bool]:
    return artifacts.c.path.startswith(folder + "/", autoescape=True)


def _unlist(connection: Connection, job_id: str, which: ColumnElement[bool]) -> list[str]:
    mine = and_(artifacts.c.job_id == job_id, which)
    return list(connection.scalars(delete(artifacts).where(mine).returning(artifacts.c.key)))


def _wait_for_quota(connection: Connection, job_id: str) -> None:
    """Let a queued job wait for its quota if its project has no room for it."""
    row = change(
        connection,
        job_id,
        and_(jobs.c.status == JobStatus.QUEUED, ~jobs.c.waiting_for_quota, ~has_room()),
        waiting_for_quota=True,
        last_event=jobs.c.last_event + 1,
    )
    if row is not None:
        message = f"Project {row.project!r} runs as much as its quotas allow; the job waits."
        announce(connection, row, JobWarned(code="quota_reached", message=message))

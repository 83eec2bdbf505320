"""One attempt of a job, from its claim to the job's next status."""

import json
import logging
import shutil
import traceback
from collections.abc import Callable
from functools import partial
from typing import assert_never

from sqlalchemy.exc import SQLAlchemyError

from jobs.backends import Backends
from jobs.errors import LeaseLost, SecretNotFound, SecretsUnavailable, StorageRefused
from jobs.garbage.local_disk import NOT_UPLOADED, finished_scratch, needless_copies
from jobs.schemas.job import Job, UnreadableSpec
from jobs.schemas.status import JobError, JobStatus
from relora_core.errors import TrainError
from worker.attempt.attempt import Attempt, StopRequested
from worker.attempt.lease import Lease
from worker.attempt.retry import RETRIED
from worker.attempt.workdir import Workdir, remove_workdirs
from worker.failures import told
from worker.launchers.launcher import Launcher
from worker.node.health import Health, is_node_error
from worker.supervision.live_log import LiveLog
from worker.supervision.outcome import (
    Failed,
    NodeFault,
    Outcome,
    Retryable,
    Stopped,
    Succeeded,
    classify_exit,
)
from worker.supervision.supervisor import Recorder, supervise
from worker.trackers.subprocess import Tracking
from worker.transfers.hub import publish
from worker.transfers.output_checks import check_locations
from worker.transfers.restore import restore
from worker.transfers.staging import stage
from worker.transfers.uploads import Uploads

logger = logging.getLogger(__name__)

NODE_UNHEALTHY = "node_unhealthy"


def run(
    job: Job,
    backends: Backends,
    *,
    launcher: Launcher,
    claimed_at: float,
    shutting_down: Callable[[], bool],
    health: Health | None = None,
) -> None:
    """Run an attempt of a claimed job and store the job's next status.

    If another attempt takes the job over, end the trainer and leave the status unchanged.
    `launcher` starts the trainer. `claimed_at` is `clock.now()` from before the claim. `health`
    checks this node; by default it assumes a node without GPUs.
    """
    settings = backends.settings
    health = health or Health(settings)
    workdir = Workdir.of(settings.scratch_dir, job.id, job.attempt)
    with Lease(
        backends.attempts, job, seconds=settings.lease_seconds, claimed_at=claimed_at
    ) as lease:
        attempt = Attempt(job, lease, workdir, backends, shutting_down, health.num_gpus)
        try:
            outcome = _blame(_outcome(attempt, launcher), health)
            status = _settle(attempt, outcome)
        except LeaseLost as error:
            logger.warning("%s Its trainer is ended and the job left alone.", error)
            return
    because = (
        f": {outcome.error.code}" if isinstance(outcome, Failed | Retryable | NodeFault) else ""
    )
    logger.info("job %s: attempt %d left it %s%s", job.id, job.attempt, status, because)
    backends.wakeups.publish(job.id)
    remove_finished(backends)


def _outcome(attempt: Attempt, launcher: Launcher) -> Outcome:
    if isinstance(attempt.job.spec, UnreadableSpec):
        return Failed(JobError(code="spec_unreadable", message=attempt.job.spec.problem))
    try:
        masked = attempt.secrets.masked
    except SecretNotFound as error:
        return Failed(JobError(code="secret_not_found", message=str(error)))
    except (SecretsUnavailable, SQLAlchemyError) as error:
        return Retryable(JobError(code="secrets_unavailable", message=told(error)))
    return _trained(attempt, launcher, masked)


def _trained(attempt: Attempt, launcher: Launcher, masked: Callable[[str], str]) -> Outcome:
    """Train, and turn every error into an outcome of the job, so that the worker goes on.

    Raise only `LeaseLost`.
    """
    try:
        return _train(attempt, launcher)
    except LeaseLost:
        raise
    except StopRequested:
        return Stopped()
    except StorageRefused as error:
        return Failed(JobError(code="storage_refused", message=masked(str(error))))
    except TrainError as error:
        reason = JobError(code=error.code, message=masked(str(error)))
        return Retryable(reason) if error.retryable else Failed(reason)
    except Exception as error:
        trace = masked(traceback.format_exc())
        logger.error("job %s: attempt %d broke\n%s", attempt.job.id, attempt.number, trace)
        message = masked(told(error))
        if is_node_error(error):
            return NodeFault(JobError(code=NODE_UNHEALTHY, message=message))
        return Retryable(JobError(code="worker_error", message=message))


def _blame(outcome: Outcome, health: Health) -> Outcome:
    """Return a `NodeFault` instead of a failure if the node is unhealthy now."""
    if not isinstance(outcome, Failed | Retryable):
        return outcome
    problem = health.problem(gpus_worked_within=0)
    if problem is None:
        return outcome
    message = f"The node is unhealthy: {problem}. The attempt ended: {outcome.error.message}"
    return NodeFault(JobError(code=NODE_UNHEALTHY, message=message))


def _train(attempt: Attempt, launcher: Launcher) -> Outcome:
    workdir, job = attempt.workdir, attempt.job
    attempt.backends.wakeups.publish(job.id)
    workdir.create()
    check_locations(attempt)
    with Uploads(attempt) as uploads:
        uploads.take_place()
        for earlier in workdir.earlier():  # their worker died before it uploaded the log
            uploads.note_log(earlier)
        resumed_from = restore(attempt)
        for earlier in workdir.earlier():
            uploads.note_exports(earlier, up_to=resumed_from or 0)
        workdir.staged.write_text(json.dumps(stage(attempt), indent=2))
        workdir.spec.write_text(job.spec.train.model_dump_json(indent=2))
        attempt.check_stop()
        attempt.retry_while_leased(
            partial(attempt.store.started, job.id, attempt.number, resumed_from=resumed_from)
        )
        attempt.backends.wakeups.publish(job.id)
        num_processes = _num_processes(attempt)
        trainer = launcher.launch(
            workdir,
            cache=attempt.cache,
            num_processes=num_processes,
            environ=attempt.environ(num_processes=num_processes),
        )
        with Tracking(attempt) as tracking:
            recorder = Recorder(attempt, uploads.note, tracking.note)
            trainer_exit = supervise(trainer, attempt, recorder, LiveLog(attempt))
            tracking.finish()
        uploads.note_log(workdir)
        outcome = _with_uploads(classify_exit(trainer_exit), uploads, attempt)
    if isinstance(outcome, Succeeded):
        publish(attempt)
    return outcome


def _num_processes(attempt: Attempt) -> int:
    """Return the number of processes: one for each GPU that the spec asks for.

    On a worker without GPUs it is one, unless the operator set `processes_without_gpus`.
    """
    asked = attempt.job.spec.resources.gpus
    if asked == 1 or attempt.num_gpus or attempt.backends.settings.processes_without_gpus:
        return asked
    message = (
        f"The job asks for {asked} GPUs, and no worker has one: one process trains on the CPU."
    )
    attempt.warn("no_gpus", message)
    return 1


def _with_uploads(outcome: Outcome, uploads: Uploads, attempt: Attempt) -> Outcome:
    """Wait for the uploads. A run succeeds only when its model is in the storage."""
    try:
        uploads.finish()
    except RETRIED as error:
        if not isinstance(outcome, Succeeded):
            return outcome
        message = (
            f"The model is complete, but on the worker alone, in {attempt.workdir.root}: "
            f"{told(error)}"
        )
        reason = JobError(code=NOT_UPLOADED, message=attempt.secrets.masked(message))
        return Failed(reason) if isinstance(error, StorageRefused) else Retryable(reason)
    return outcome


def _settle(attempt: Attempt, outcome: Outcome) -> JobStatus:
    """Store the outcome and return the job's new status.

    For a job that neither succeeded nor failed, the store takes the user's request into account,
    such as a cancellation.
    """
    store, held = attempt.store, (attempt.job.id, attempt.number)
    match outcome:
        case Succeeded():
            move = partial(store.finish, *held, JobStatus.SUCCEEDED)
        case Failed(error):
            move = partial(store.finish, *held, JobStatus.FAILED, error=error)
        case Stopped():
            move = partial(store.requeue, *held)
        case Retryable(error):
            move = partial(store.retry, *held, error)
        case NodeFault(error):
            move = partial(store.give_back, *held, error)
        case _:
            assert_never(outcome)
    return attempt.retry_while_leased(move)


def remove_finished(backends: Backends) -> None:
    """Delete from this node's disk the workdirs of finished jobs and data that no job uses.

    A job counts as finished wherever it ended, also on another node.
    """
    for folder in finished_scratch(backends):
        remove_workdirs(folder.parent, folder.name)
    for _, copy in needless_copies(backends):
        shutil.rmtree(copy, ignore_errors=True)

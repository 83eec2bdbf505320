"""Transitions between every pair of statuses, checked against the table of transitions."""

from collections.abc import Callable
from contextlib import nullcontext, suppress

import pytest

from jobs.errors import IllegalTransition, LeaseLost
from jobs.schemas.job import JobSpec
from jobs.schemas.status import LEASED, TRANSITIONS, JobError, JobStatus, RequestedAction
from jobs.store.attempts import AttemptStore
from jobs.store.jobs import JobStore

CRASH = JobError(code="crashed", message="It ended.")

Status = JobStatus  # a short name for the tables below


def bring(store: JobStore, attempts: AttemptStore, job_id: str, status: JobStatus) -> None:
    """Bring a new job into `status` by the shortest way."""
    if status in {Status.PAUSED, Status.CANCELLED}:
        store.request_action(
            job_id, RequestedAction.PAUSE if status is Status.PAUSED else RequestedAction.CANCEL
        )
    elif status is not Status.QUEUED:
        attempts.claim(job_id, worker="w1", lease_seconds=60)
        if status is not Status.STARTING:
            attempts.started(job_id, 1, resumed_from=None)
        if status not in LEASED:
            attempts.finish(job_id, 1, status, error=CRASH if status is Status.FAILED else None)


def try_to_move(
    store: JobStore, attempts: AttemptStore, job_id: str, source: JobStatus, target: JobStatus
) -> None:
    """Call the method that moves a job from `source` to `target`, allowed or not."""
    leased = source in LEASED
    queue_again = store.resume if source is Status.PAUSED else store.retry
    calls: dict[JobStatus, Callable[[], object]] = {
        Status.QUEUED: lambda: attempts.requeue(job_id, 1) if leased else queue_again(job_id),
        Status.STARTING: lambda: attempts.claim(job_id, worker="w2", lease_seconds=60),
        Status.RUNNING: lambda: attempts.started(job_id, 1, resumed_from=None),
        Status.PAUSED: lambda: (
            attempts.finish(job_id, 1, target)
            if leased
            else store.request_action(job_id, RequestedAction.PAUSE)
        ),
        Status.CANCELLED: lambda: (
            attempts.finish(job_id, 1, target)
            if leased
            else store.request_action(job_id, RequestedAction.CANCEL)
        ),
        Status.SUCCEEDED: lambda: attempts.finish(job_id, 1, target),
        Status.FAILED: lambda: attempts.finish(job_id, 1, target, error=CRASH),
    }
    calls[target]()


@pytest.mark.parametrize("source", JobStatus)
def test_a_job_moves_only_as_the_table_says(
    store: JobStore, attempts: AttemptStore, spec: JobSpec, source: JobStatus
) -> None:
    for target in JobStatus:
        job_id = store.create(spec).id
        bring(store, attempts, job_id, source)
        assert store.get(job_id).status is source
        num_events = len(store.events(job_id))
        allowed = target in TRANSITIONS[source]
        with nullcontext() if allowed else suppress(IllegalTransition, LeaseLost):
            try_to_move(store, attempts, job_id, source, target)
        assert store.get(job_id).status is (target if allowed else source), target
        assert len(store.events(job_id)) == num_events + (1 if allowed else 0), target

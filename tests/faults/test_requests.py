"""A run that is asked to stop in the middle of a step, and a job that is sent to two workers."""

from threading import Event

import pytest

from jobs.backends import Backends
from jobs.schemas.status import JobStatus, RequestedAction
from tests.faults.conftest import NothingIsLost
from tests.faults.held import HELD, go_on, held_attempt
from tests.worker.attempts import starts
from tests.worker.processes import wait_until
from worker.attempt.workdir import Workdir

pytestmark = pytest.mark.integration


def asked_to_stop(backends: Backends, job_id: str) -> None:
    """Wait until the worker has told its trainer."""
    wait_until(Workdir.of(backends.settings.scratch_dir, job_id, 1).stop.exists)


def test_a_run_that_was_paused_goes_on_after_the_step_that_it_was_at(
    backends: Backends, job_id: str, nothing_is_lost: NothingIsLost
) -> None:
    with held_attempt(backends, job_id):
        backends.store.request_action(job_id, RequestedAction.PAUSE)
        asked_to_stop(backends, job_id)
    assert backends.store.get(job_id).status is JobStatus.PAUSED
    backends.store.resume(job_id)
    go_on(backends, job_id)
    assert starts(backends, job_id) == [None, HELD]
    nothing_is_lost(job_id)


def test_a_run_whose_worker_had_to_leave_goes_on_after_the_step_that_it_was_at(
    backends: Backends, job_id: str, nothing_is_lost: NothingIsLost
) -> None:
    leaves = Event()
    with held_attempt(backends, job_id, shutting_down=leaves.is_set):
        leaves.set()
        asked_to_stop(backends, job_id)
    assert backends.store.get(job_id).status is JobStatus.QUEUED
    go_on(backends, job_id)
    assert starts(backends, job_id) == [None, HELD]
    nothing_is_lost(job_id)


def test_a_second_message_for_a_job_that_runs_begins_no_second_attempt(
    backends: Backends, job_id: str, nothing_is_lost: NothingIsLost
) -> None:
    with held_attempt(backends, job_id):
        assert backends.attempts.claim(job_id, worker="another", lease_seconds=60) is None
        assert backends.attempts.claim_next(worker="another", lease_seconds=60) is None
    assert starts(backends, job_id) == [None]
    nothing_is_lost(job_id)

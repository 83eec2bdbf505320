"""The writes of the worker that holds a job, and the end of attempts, on both databases."""

import math
from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine, select, update

from jobs.access.projects import ProjectStore
from jobs.database.engine import database_now
from jobs.database.tables.jobs import jobs
from jobs.errors import ArtifactNotFound, LeaseLost
from jobs.scheduling.outbox import Outbox
from jobs.scheduling.workers import WorkerStore
from jobs.schemas.events import JobFailed, JobRetrying, JobStarted
from jobs.schemas.job import Job, JobSpec, Retries
from jobs.schemas.resources import Resources
from jobs.schemas.status import JobError, JobStatus, RequestedAction
from jobs.schemas.workers import Registration
from jobs.store.attempts import MAX_NODE_FAULTS, AttemptStore
from jobs.store.jobs import JobStore
from relora_core.events import StepFinished, TrainStarted
from tests.jobs.samples import CRASH, StepMaker, artifact, types


def test_a_job_is_claimed_once(attempts: AttemptStore, job: Job) -> None:
    claimed = attempts.claim(job.id, worker="w1", lease_seconds=60)
    assert claimed is not None
    assert (claimed.status, claimed.attempt, claimed.worker) == (JobStatus.STARTING, 1, "w1")
    assert attempts.claim(job.id, worker="w2", lease_seconds=60) is None
    assert attempts.claim("job_none", worker="w2", lease_seconds=60) is None


def an_hour_passes(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(update(jobs).values(counted_at=jobs.c.counted_at - 3600))


def test_the_gpu_hours_of_all_attempts_are_counted_as_they_pass(
    engine: Engine,
    store: JobStore,
    attempts: AttemptStore,
    projects: ProjectStore,
    spec: JobSpec,
) -> None:
    job = store.create(spec.model_copy(update={"resources": Resources(gpus=2)}))
    attempts.claim(job.id, worker="w1", lease_seconds=60, gpus=4)
    an_hour_passes(engine)
    attempts.renew(job.id, 1, lease_seconds=60)
    assert store.get(job.id).gpu_hours == pytest.approx(2, abs=0.01)
    an_hour_passes(engine)
    attempts.requeue(job.id, 1)
    an_hour_passes(engine)  # in the queue
    attempts.claim(job.id, worker="w1", lease_seconds=60, gpus=4)
    attempts.started(job.id, 2, resumed_from=None)
    an_hour_passes(engine)
    attempts.finish(job.id, 2, JobStatus.SUCCEEDED)
    an_hour_passes(engine)
    assert store.get(job.id).gpu_hours == pytest.approx(6, abs=0.01)
    assert projects.report("default").gpu_hours == pytest.approx(6, abs=0.01)
    store.delete(job.id)
    assert projects.report("default").gpu_hours == pytest.approx(6, abs=0.01)


def test_a_worker_without_gpus_takes_no_gpu_hours(
    engine: Engine, store: JobStore, attempts: AttemptStore, job: Job
) -> None:
    attempts.claim(job.id, worker="w1", lease_seconds=60)
    attempts.started(job.id, 1, resumed_from=None)
    an_hour_passes(engine)
    attempts.finish(job.id, 1, JobStatus.SUCCEEDED)
    assert store.get(job.id).gpu_hours == 0


def test_a_job_is_started_with_its_worker_and_checkpoint_named(
    store: JobStore, attempts: AttemptStore, job: Job
) -> None:
    attempts.claim(job.id, worker="w1", lease_seconds=60)
    attempts.started(job.id, 1, resumed_from=200)
    last = store.events(job.id)[-1]
    assert isinstance(last, JobStarted)
    assert (last.worker, last.resumed_from, last.attempt) == ("w1", 200, 1)
    assert store.get(job.id).status is JobStatus.RUNNING
    assert store.get(job.id).started_at is not None


def test_an_attempt_that_is_over_can_write_nothing(
    store: JobStore, attempts: AttemptStore, running: Job, step_finished: StepMaker
) -> None:
    attempts.requeue(running.id, 1)
    before = store.events(running.id)
    for number in (1, 2):  # attempt 1 is over, attempt 2 has not begun
        for write in (
            lambda n: attempts.started(running.id, n, resumed_from=None),
            lambda n: attempts.renew(running.id, n, lease_seconds=60),
            lambda n: attempts.append(running.id, n, [(1, step_finished(1))]),
            lambda n: attempts.warn(running.id, n, "code", "message"),
            lambda n: attempts.finish(running.id, n, JobStatus.SUCCEEDED),
            lambda n: attempts.finish(running.id, n, JobStatus.CANCELLED),
            lambda n: attempts.requeue(running.id, n),
            lambda n: attempts.retry(running.id, n, CRASH),
            lambda n: attempts.add_artifacts(running.id, n, [artifact("final/a")]),
            lambda n: attempts.expire_artifacts(running.id, n, "final"),
        ):
            with pytest.raises(LeaseLost, match=f"Attempt {number} no longer holds"):
                write(number)
    assert store.events(running.id) == before
    assert store.artifacts(running.id) == []


def test_lines_that_are_stored_already_are_skipped(
    store: JobStore, attempts: AttemptStore, running: Job, step_finished: StepMaker
) -> None:
    attempts.append(running.id, 1, [(1, step_finished(1)), (2, step_finished(2))])
    attempts.append(running.id, 1, [(2, step_finished(2)), (3, step_finished(3))])
    attempts.append(running.id, 1, [(1, step_finished(1))])
    attempts.append(running.id, 1, [])
    steps = store.events(running.id, types=["train.step"])
    assert [(event.id, event.step) for event in steps if isinstance(event, StepFinished)] == [
        (4, 1),
        (5, 2),
        (6, 3),
    ]


def test_the_lines_of_another_attempt_are_others(
    store: JobStore, attempts: AttemptStore, running: Job, step_finished: StepMaker
) -> None:
    attempts.append(running.id, 1, [(1, step_finished(1))])
    attempts.requeue(running.id, 1)
    attempts.claim(running.id, worker="w2", lease_seconds=60)
    attempts.append(running.id, 2, [(1, step_finished(1))])
    steps = store.events(running.id, types=["train.step"])
    assert [event.attempt for event in steps] == [1, 2]


def test_progress_follows_the_events(
    store: JobStore, attempts: AttemptStore, running: Job, step_finished: StepMaker
) -> None:
    attempts.append(running.id, 1, [(1, step_finished(10)), (2, step_finished(20))])
    progress = store.progress(running.id)
    assert progress == store.get(running.id).progress
    assert (progress.status, progress.phase, progress.worker) == ("running", "low_rank", "w1")
    assert (progress.step, progress.total_steps, progress.tokens_seen) == (20, 100, 20_000)
    assert (progress.loss, progress.learning_rate, progress.restarts) == (4.0, 1e-3, 1)
    assert progress.eta_seconds == 80 * 1000 / 500


def test_a_job_that_no_trainer_works_on_has_no_pace(
    store: JobStore, attempts: AttemptStore, running: Job, step_finished: StepMaker
) -> None:
    attempts.append(running.id, 1, [(1, step_finished(10))])
    attempts.requeue(running.id, 1)
    progress = store.progress(running.id)
    assert (progress.step, progress.tokens_per_second, progress.eta_seconds) == (10, None, None)
    assert progress.worker is None


def test_a_loss_that_is_not_finite_is_kept_in_the_log_and_null_in_the_progress(
    store: JobStore, attempts: AttemptStore, running: Job, step_finished: StepMaker
) -> None:
    event = step_finished(10).model_copy(update={"loss": math.nan, "grad_norm": math.inf})
    attempts.append(running.id, 1, [(1, event)])
    assert store.progress(running.id).loss is None
    (stored,) = store.events(running.id, types=["train.step"])
    assert isinstance(stored, StepFinished)
    assert math.isnan(stored.loss)
    assert stored.grad_norm == math.inf
    assert '"loss":"NaN"' in stored.model_dump_json()


def test_a_warning_is_an_event(store: JobStore, attempts: AttemptStore, running: Job) -> None:
    attempts.warn(running.id, 1, "upload_slow", "The storage is slow.")
    last = store.events(running.id)[-1]
    assert last.model_dump(include={"type", "code", "message", "attempt"}) == {
        "type": "job.warning",
        "code": "upload_slow",
        "message": "The storage is slow.",
        "attempt": 1,
    }


def test_files_are_listed_by_path_and_replaced(
    store: JobStore, attempts: AttemptStore, running: Job
) -> None:
    attempts.add_artifacts(running.id, 1, [artifact("b/2"), artifact("b/10"), artifact("B/1")])
    attempts.add_artifacts(running.id, 1, [artifact("b/2", size=7)])
    attempts.add_artifacts(running.id, 1, [])
    assert [file.path for file in store.artifacts(running.id)] == ["B/1", "b/10", "b/2"]
    assert store.artifact(running.id, "b/2").size == 7
    with pytest.raises(ArtifactNotFound, match="has no file 'b/3'"):
        store.artifact(running.id, "b/3")


def test_a_folder_of_files_is_taken_off_the_list(
    store: JobStore, attempts: AttemptStore, running: Job
) -> None:
    paths = ["checkpoints/step-1/a", "checkpoints/step-1/b/c", "checkpoints/step-10/a", "step_1/a"]
    attempts.add_artifacts(running.id, 1, [artifact(path) for path in paths])
    assert sorted(attempts.expire_artifacts(running.id, 1, "checkpoints/step-1")) == paths[:2]
    assert attempts.expire_artifacts(running.id, 1, "step%1") == []
    assert [file.path for file in store.artifacts(running.id)] == paths[2:]


def test_a_folder_that_is_listed_again_replaces_all_that_was_in_it(
    store: JobStore, attempts: AttemptStore, running: Job
) -> None:
    earlier = [artifact(path) for path in ("final/a", "final/b", "finally")]
    attempts.add_artifacts(running.id, 1, earlier)
    again = artifact("final/a").model_copy(update={"key": "attempts/1/x/final/a"})
    assert attempts.add_artifacts(running.id, 1, [again], folder="final") == ["final/a", "final/b"]
    assert [file.key for file in store.artifacts(running.id)] == ["attempts/1/x/final/a", "finally"]


# --- the end of an attempt -----------------------------------------------------------------


@pytest.mark.parametrize("status", [JobStatus.SUCCEEDED, JobStatus.CANCELLED, JobStatus.FAILED])
def test_a_finished_job_says_when_and_why(
    store: JobStore, attempts: AttemptStore, running: Job, status: JobStatus
) -> None:
    error = CRASH if status is JobStatus.FAILED else None
    assert attempts.finish(running.id, 1, status, error=error) is status
    job = store.get(running.id)
    assert (job.status, job.error, job.worker) == (status, error, None)
    assert job.finished_at is not None
    assert types(store, job.id)[-1] == f"job.{status}"


@pytest.mark.parametrize("status", [JobStatus.FAILED, JobStatus.STARTING])
def test_an_ending_that_makes_no_sense_changes_nothing(
    store: JobStore, attempts: AttemptStore, running: Job, status: JobStatus
) -> None:
    with pytest.raises((ValueError, LeaseLost)):
        attempts.finish(running.id, 1, status)  # a failure without an error, or no final status
    assert store.get(running.id) == running


def test_a_worker_that_must_leave_puts_its_job_back(
    store: JobStore, attempts: AttemptStore, outbox: Outbox, running: Job
) -> None:
    assert attempts.requeue(running.id, 1) is JobStatus.QUEUED
    assert [entry.job_id for entry in outbox.unsent()] == [running.id, running.id]
    last = store.events(running.id)[-1]
    assert last.model_dump(include={"type", "reason"}) == {
        "type": "job.queued",
        "reason": "worker_left",
    }


def test_leaving_burns_no_attempt_but_failing_does(
    store: JobStore, attempts: AttemptStore, job: Job
) -> None:
    for attempt in range(1, 5):
        attempts.claim(job.id, worker="w1", lease_seconds=60)
        assert attempts.requeue(job.id, attempt) is JobStatus.QUEUED
    assert store.get(job.id).failed_attempts == 0
    for attempt in (5, 6):
        attempts.claim(job.id, worker="w1", lease_seconds=60)
        assert attempts.retry(job.id, attempt, CRASH) is JobStatus.QUEUED
    retrying = store.events(job.id)[-1]
    assert isinstance(retrying, JobRetrying)
    assert (retrying.reason, retrying.next_attempt, retrying.max_attempts) == (CRASH, 7, 3)
    attempts.claim(job.id, worker="w1", lease_seconds=60)
    assert attempts.retry(job.id, 7, CRASH) is JobStatus.FAILED
    failed = store.events(job.id)[-1]
    assert isinstance(failed, JobFailed)
    assert failed.error == store.get(job.id).error == CRASH


@pytest.mark.parametrize(
    ("action", "status"),
    [(RequestedAction.CANCEL, JobStatus.CANCELLED), (RequestedAction.PAUSE, JobStatus.PAUSED)],
)
@pytest.mark.parametrize("ending", ["requeue", "retry", "expire"])
def test_a_job_with_a_requested_action_does_not_go_back_to_the_queue(
    store: JobStore,
    attempts: AttemptStore,
    running: Job,
    action: RequestedAction,
    status: JobStatus,
    ending: str,
) -> None:
    store.request_action(running.id, action)
    match ending:
        case "requeue":
            assert attempts.requeue(running.id, 1) is status
        case "retry":
            assert attempts.retry(running.id, 1, CRASH) is status
        case _:
            attempts.renew(running.id, 1, lease_seconds=-1)
            assert attempts.expire_leases() == [running.id]
    job = store.get(running.id)
    assert (job.status, job.requested_action, job.error) == (status, None, None)


def test_a_lost_worker_is_found_by_its_lease(
    store: JobStore, attempts: AttemptStore, running: Job, spec: JobSpec
) -> None:
    other = store.create(spec)
    attempts.claim(other.id, worker="w2", lease_seconds=60)
    assert attempts.expire_leases() == []
    attempts.renew(running.id, 1, lease_seconds=-1)
    assert attempts.expire_leases() == [running.id]
    assert attempts.expire_leases() == []
    retrying = store.events(running.id)[-1]
    assert isinstance(retrying, JobRetrying)
    assert retrying.reason == JobError(
        code="worker_lost", message="Worker w1 gave no sign of life."
    )
    assert store.get(other.id).status is JobStatus.STARTING


def test_a_lease_that_ran_out_unnoticed_can_be_renewed(
    attempts: AttemptStore, running: Job
) -> None:
    attempts.renew(running.id, 1, lease_seconds=-1)
    attempts.renew(running.id, 1, lease_seconds=60)
    assert attempts.expire_leases() == []


def test_a_resumed_run_steps_back_to_its_checkpoint(
    store: JobStore, attempts: AttemptStore, running: Job, step_finished: StepMaker
) -> None:
    attempts.append(running.id, 1, [(1, step_finished(50))])
    attempts.requeue(running.id, 1)
    attempts.claim(running.id, worker="w2", lease_seconds=60)
    started = TrainStarted(
        step=40,
        total_steps=100,
        parameters=1,
        tokens_per_step=1000,
        world_size=1,
        device="cpu",
    )
    attempts.append(running.id, 2, [(1, started)])
    assert store.progress(running.id).step == 40


# --- backoff, and the worker of the next attempt ---------------------------------------------


def test_a_failed_job_backs_off_longer_each_time_and_is_sent_then(
    store: JobStore, attempts: AttemptStore, outbox: Outbox, engine: Engine, spec: JobSpec
) -> None:
    job_id = store.create(spec.model_copy(update={"retries": Retries(max_attempts=20)})).id
    pauses = []
    for attempt in range(1, 12):
        attempts.claim(job_id, worker="w1", lease_seconds=60)
        attempts.retry(job_id, attempt, CRASH)
        pauses.append(seconds_left(engine, job_id))
    assert attempts.claim_next(worker="w2", lease_seconds=60) is None
    assert outbox.unsent() == []
    for pause, longest in zip(pauses, [2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300], strict=True):
        assert longest / 2 - 1 < pause <= longest
    end_backoff(engine)
    assert {entry.job_id for entry in outbox.unsent()} == {job_id}
    assert attempts.claim_next(worker="w2", lease_seconds=60) is not None


def test_a_fault_of_the_node_is_no_failed_attempt(
    store: JobStore, attempts: AttemptStore, engine: Engine, spec: JobSpec
) -> None:
    job_id = store.create(spec.model_copy(update={"retries": Retries(max_attempts=1)})).id
    sick = JobError(code="node_unhealthy", message="the disk is full")
    for attempt in range(1, MAX_NODE_FAULTS):
        attempts.claim(job_id, worker="w1", lease_seconds=60)
        assert attempts.give_back(job_id, attempt, sick) is JobStatus.QUEUED
        assert seconds_left(engine, job_id) > 0
    retrying = store.events(job_id)[-1]
    assert isinstance(retrying, JobRetrying)
    assert (retrying.reason, retrying.failed_attempts) == (sick, 0)
    attempts.claim(job_id, worker="w1", lease_seconds=60)
    assert attempts.give_back(job_id, MAX_NODE_FAULTS, sick) is JobStatus.FAILED


def test_a_job_avoids_the_worker_that_it_failed_on_while_another_fits(
    attempts: AttemptStore, outbox: Outbox, engine: Engine, job: Job
) -> None:
    workers = WorkerStore(engine)
    attempts.claim(job.id, worker="w1", lease_seconds=60)
    attempts.retry(job.id, 1, CRASH)
    end_backoff(engine)
    for name in ("w1", "w2"):
        workers.beat(cpu_worker(name))
    assert attempts.claim_next(worker="w1", lease_seconds=60) is None
    outbox.renotify(job.id, worker="w1")
    assert outbox.unsent() == []  # otherwise the two workers would send it to each other
    end_backoff(engine)
    assert outbox.unsent() != []
    claimed = attempts.claim_next(worker="w2", lease_seconds=60)
    assert claimed is not None
    assert claimed.id == job.id


@pytest.mark.parametrize("other", [None, "the disk is full"])
def test_a_job_comes_back_to_the_worker_that_it_failed_on_if_no_other_is_healthy(
    attempts: AttemptStore, engine: Engine, job: Job, other: str | None
) -> None:
    workers = WorkerStore(engine)
    attempts.claim(job.id, worker="w1", lease_seconds=60)
    attempts.retry(job.id, 1, CRASH)
    end_backoff(engine)
    workers.beat(cpu_worker("w1"))
    if other is not None:
        workers.beat(cpu_worker("w2"), problem=other)
    assert attempts.claim_next(worker="w1", lease_seconds=60) is not None


def test_a_person_who_retries_a_job_waits_for_no_backoff(
    store: JobStore, attempts: AttemptStore, running: Job
) -> None:
    attempts.retry(running.id, 1, CRASH)
    store.request_action(running.id, RequestedAction.CANCEL)
    store.retry(running.id)
    assert attempts.claim_next(worker="w1", lease_seconds=60) is not None


def seconds_left(engine: Engine, job_id: str) -> float:
    query = select(jobs.c.not_before - database_now()).where(jobs.c.id == job_id)
    with engine.begin() as connection:
        return float(connection.execute(query).scalar_one())


def end_backoff(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(update(jobs).values(not_before=0))


def cpu_worker(name: str) -> Registration:
    return Registration(name=name, host="node", version="1", gpus=(), started_at=datetime.now(UTC))

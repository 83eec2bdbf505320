"""The store as its users see it, on SQLite and PostgreSQL."""

import math
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime

import pytest

from jobs.errors import ArtifactNotFound, IllegalTransition, JobNotFound, LeaseLost
from jobs.events import JobFailed, JobRetrying, JobStarted
from jobs.models import Artifact, Job, JobError, JobSpec
from jobs.status import JobStatus, Wish
from jobs.store import JobStore
from relora_core.events import Merged, StepFinished, TrainStarted

StepMaker = Callable[[int], StepFinished]
CRASH = JobError(code="crashed", message="The trainer ended with signal 9.")


def types(store: JobStore, job_id: str) -> list[str]:
    return [event.type for event in store.events(job_id)]


def artifact(path: str, size: int = 1) -> Artifact:
    return Artifact(
        path=path,
        kind="checkpoint",
        step=100,
        size=size,
        sha256="0" * 64,
        created_at=datetime.now(UTC),
    )


# --- what a person asks --------------------------------------------------------------------


def test_a_new_job_is_queued_and_waits_in_the_outbox(store: JobStore, spec: JobSpec) -> None:
    job = store.create(spec)
    assert store.get(job.id) == job
    assert job.spec == spec
    assert (job.status, job.attempt, job.worker) == (JobStatus.QUEUED, 0, None)
    assert job.progress.total_steps == 100
    assert [entry.job_id for entry in store.unsent()] == [job.id]
    (queued,) = store.events(job.id)
    assert (queued.type, queued.id, queued.attempt) == ("job.queued", 1, 0)


def test_times_are_in_utc(store: JobStore, job: Job) -> None:
    assert store.get(job.id).created_at.utcoffset() == datetime.now(UTC).utcoffset()
    assert abs((datetime.now(UTC) - job.created_at).total_seconds()) < 60


def test_a_spec_made_from_a_recipe_comes_back_as_it_was(store: JobStore) -> None:
    spec = JobSpec.model_validate(
        {
            "recipe": "relora_60m",
            "data": {"train": {"uri": "hf://c4"}},
            "training": {"steps": 4000, "max_grad_norm": None},
        }
    )
    assert store.get(store.create(spec).id).spec == spec


def test_jobs_are_listed_newest_first_in_pages(store: JobStore, spec: JobSpec) -> None:
    ids = [store.create(spec).id for _ in range(5)][::-1]
    assert [job.id for job in store.list(limit=2)] == ids[:2]
    assert [job.id for job in store.list(limit=2, before=ids[1])] == ids[2:4]
    store.wish(ids[3], Wish.CANCEL)
    assert [job.id for job in store.list(status=JobStatus.CANCELLED)] == [ids[3]]


@pytest.mark.parametrize(
    "ask",
    [
        lambda store: store.get("job_none"),
        lambda store: store.progress("job_none"),
        lambda store: store.events("job_none"),
        lambda store: store.artifacts("job_none"),
        lambda store: store.artifact("job_none", "final/config.json"),
        lambda store: store.wish("job_none", Wish.CANCEL),
        lambda store: store.resume("job_none"),
    ],
)
def test_a_job_that_is_not_there_is_named(
    store: JobStore, ask: Callable[[JobStore], object]
) -> None:
    with pytest.raises(JobNotFound, match="There is no job 'job_none'"):
        ask(store)


@pytest.mark.parametrize(
    ("wish", "status", "event"),
    [
        (Wish.CANCEL, JobStatus.CANCELLED, "job.cancelled"),
        (Wish.PAUSE, JobStatus.PAUSED, "job.paused"),
    ],
)
def test_a_wish_for_a_queued_job_is_fulfilled_at_once(
    store: JobStore, job: Job, wish: Wish, status: JobStatus, event: str
) -> None:
    assert store.wish(job.id, wish).status is status
    assert store.wish(job.id, wish).wish is None  # twice is fine, and is one event
    assert types(store, job.id) == ["job.queued", event]
    assert (store.get(job.id).finished_at is not None) == (wish is Wish.CANCEL)


def test_a_wish_for_a_held_job_waits_for_its_worker(store: JobStore, running: Job) -> None:
    asked = store.wish(running.id, Wish.PAUSE)
    assert store.wish(running.id, Wish.PAUSE) == asked
    assert (asked.status, asked.wish) == (JobStatus.RUNNING, Wish.PAUSE)
    assert store.renew(running.id, 1, lease_seconds=60) is Wish.PAUSE
    assert types(store, running.id)[-1] == "job.wish"
    assert store.finish(running.id, 1, JobStatus.PAUSED) is JobStatus.PAUSED
    assert store.get(running.id).wish is None


def test_a_wish_to_cancel_is_stronger_than_one_to_pause(store: JobStore, running: Job) -> None:
    store.wish(running.id, Wish.PAUSE)
    assert store.wish(running.id, Wish.CANCEL).wish is Wish.CANCEL
    with pytest.raises(IllegalTransition, match="is being cancelled; it cannot be paused"):
        store.wish(running.id, Wish.PAUSE)
    # The worker had already seen the first wish.
    assert store.finish(running.id, 1, JobStatus.PAUSED) is JobStatus.CANCELLED


def test_a_finished_job_takes_no_wish(store: JobStore, running: Job) -> None:
    store.finish(running.id, 1, JobStatus.SUCCEEDED)
    with pytest.raises(IllegalTransition, match="is succeeded; it cannot be cancelled"):
        store.wish(running.id, Wish.CANCEL)


def test_a_paused_job_is_resumed_from_the_queue(store: JobStore, job: Job) -> None:
    store.mark_sent(store.unsent()[0].id)
    store.wish(job.id, Wish.PAUSE)
    assert store.resume(job.id).status is JobStatus.QUEUED
    assert [entry.job_id for entry in store.unsent()] == [job.id]
    assert types(store, job.id)[-1] == "job.queued"


def test_only_a_paused_job_is_resumed(store: JobStore, running: Job) -> None:
    with pytest.raises(IllegalTransition, match="is running; it cannot be resumed"):
        store.resume(running.id)


def test_events_are_read_after_a_number_by_type_and_in_pages(
    store: JobStore, running: Job, step_finished: StepMaker
) -> None:
    store.append(running.id, 1, [(line, step_finished(line)) for line in range(1, 6)])
    assert [event.id for event in store.events(running.id)] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert [event.id for event in store.events(running.id, after=3, limit=2)] == [4, 5]
    assert types(store, running.id)[:3] == ["job.queued", "job.claimed", "job.started"]
    only = store.events(running.id, types={"job.started", "train.step"}, limit=2)
    assert [event.type for event in only] == ["job.started", "train.step"]
    assert store.events(running.id, after=8) == []


# --- what the holder of a job does ---------------------------------------------------------


def test_a_job_is_claimed_once(store: JobStore, job: Job) -> None:
    claimed = store.claim(job.id, worker="w1", lease_seconds=60)
    assert claimed is not None
    assert (claimed.status, claimed.attempt, claimed.worker) == (JobStatus.STARTING, 1, "w1")
    assert store.claim(job.id, worker="w2", lease_seconds=60) is None
    assert store.claim("job_none", worker="w2", lease_seconds=60) is None


def test_a_job_is_started_with_its_worker_and_checkpoint_named(store: JobStore, job: Job) -> None:
    store.claim(job.id, worker="w1", lease_seconds=60)
    store.started(job.id, 1, resumed_from=200)
    last = store.events(job.id)[-1]
    assert isinstance(last, JobStarted)
    assert (last.worker, last.resumed_from, last.attempt) == ("w1", 200, 1)
    assert store.get(job.id).status is JobStatus.RUNNING
    assert store.get(job.id).started_at is not None


def test_an_attempt_that_is_over_can_write_nothing(
    store: JobStore, running: Job, step_finished: StepMaker
) -> None:
    store.requeue(running.id, 1)
    before = store.events(running.id)
    for number in (1, 2):  # over; not yet begun
        for write in (
            lambda n: store.started(running.id, n, resumed_from=None),
            lambda n: store.renew(running.id, n, lease_seconds=60),
            lambda n: store.append(running.id, n, [(1, step_finished(1))]),
            lambda n: store.warn(running.id, n, "code", "message"),
            lambda n: store.finish(running.id, n, JobStatus.SUCCEEDED),
            lambda n: store.finish(running.id, n, JobStatus.CANCELLED),
            lambda n: store.requeue(running.id, n),
            lambda n: store.retry(running.id, n, CRASH),
            lambda n: store.add_artifacts(running.id, n, [artifact("final/a")]),
            lambda n: store.remove_artifacts(running.id, n, "final"),
        ):
            with pytest.raises(LeaseLost, match=f"Attempt {number} no longer holds"):
                write(number)
    assert store.events(running.id) == before
    assert store.artifacts(running.id) == []


def test_lines_that_are_stored_already_are_skipped(
    store: JobStore, running: Job, step_finished: StepMaker
) -> None:
    store.append(running.id, 1, [(1, step_finished(1)), (2, step_finished(2))])
    store.append(running.id, 1, [(2, step_finished(2)), (3, step_finished(3))])
    store.append(running.id, 1, [(1, step_finished(1))])
    store.append(running.id, 1, [])
    steps = store.events(running.id, types=["train.step"])
    assert [(event.id, event.step) for event in steps if isinstance(event, StepFinished)] == [
        (4, 1),
        (5, 2),
        (6, 3),
    ]


def test_the_lines_of_another_attempt_are_others(
    store: JobStore, running: Job, step_finished: StepMaker
) -> None:
    store.append(running.id, 1, [(1, step_finished(1))])
    store.requeue(running.id, 1)
    store.claim(running.id, worker="w2", lease_seconds=60)
    store.append(running.id, 2, [(1, step_finished(1))])
    steps = store.events(running.id, types=["train.step"])
    assert [event.attempt for event in steps] == [1, 2]


def test_progress_follows_the_events(
    store: JobStore, running: Job, step_finished: StepMaker
) -> None:
    store.append(running.id, 1, [(1, step_finished(10)), (2, step_finished(20))])
    progress = store.progress(running.id)
    assert progress == store.get(running.id).progress
    assert (progress.status, progress.phase, progress.worker) == ("running", "low_rank", "w1")
    assert (progress.step, progress.total_steps, progress.tokens_seen) == (20, 100, 20_000)
    assert (progress.loss, progress.learning_rate, progress.restarts) == (4.0, 1e-3, 1)
    assert progress.eta_seconds == 80 * 1000 / 500


def test_a_job_that_no_trainer_works_on_has_no_pace(
    store: JobStore, running: Job, step_finished: StepMaker
) -> None:
    store.append(running.id, 1, [(1, step_finished(10))])
    store.requeue(running.id, 1)
    progress = store.progress(running.id)
    assert (progress.step, progress.tokens_per_second, progress.eta_seconds) == (10, None, None)
    assert progress.worker is None


def test_a_loss_that_is_not_finite_is_kept_in_the_log_and_null_in_the_progress(
    store: JobStore, running: Job, step_finished: StepMaker
) -> None:
    event = step_finished(10).model_copy(update={"loss": math.nan, "grad_norm": math.inf})
    store.append(running.id, 1, [(1, event)])
    assert store.progress(running.id).loss is None
    (stored,) = store.events(running.id, types=["train.step"])
    assert isinstance(stored, StepFinished)
    assert math.isnan(stored.loss)
    assert stored.grad_norm == math.inf
    assert '"loss":"NaN"' in stored.model_dump_json()


def test_a_warning_is_an_event(store: JobStore, running: Job) -> None:
    store.warn(running.id, 1, "upload_slow", "The storage is slow.")
    last = store.events(running.id)[-1]
    assert last.model_dump(include={"type", "code", "message", "attempt"}) == {
        "type": "job.warning",
        "code": "upload_slow",
        "message": "The storage is slow.",
        "attempt": 1,
    }


def test_files_are_listed_by_path_and_replaced(store: JobStore, running: Job) -> None:
    store.add_artifacts(running.id, 1, [artifact("b/2"), artifact("b/10"), artifact("B/1")])
    store.add_artifacts(running.id, 1, [artifact("b/2", size=7)])
    store.add_artifacts(running.id, 1, [])
    assert [file.path for file in store.artifacts(running.id)] == ["B/1", "b/10", "b/2"]
    assert store.artifact(running.id, "b/2").size == 7
    with pytest.raises(ArtifactNotFound, match="has no file 'b/3'"):
        store.artifact(running.id, "b/3")


def test_a_folder_of_files_is_taken_off_the_list(store: JobStore, running: Job) -> None:
    paths = ["checkpoints/step-1/a", "checkpoints/step-1/b/c", "checkpoints/step-10/a", "step_1"]
    store.add_artifacts(running.id, 1, [artifact(path) for path in paths])
    store.remove_artifacts(running.id, 1, "checkpoints/step-1")
    store.remove_artifacts(running.id, 1, "step%1")
    assert [file.path for file in store.artifacts(running.id)] == paths[2:]
    store.remove_artifacts(running.id, 1, "step_1")
    store.remove_artifacts(running.id, 1, "checkpoints/")
    assert store.artifacts(running.id) == []


# --- how an attempt ends -------------------------------------------------------------------


@pytest.mark.parametrize("status", [JobStatus.SUCCEEDED, JobStatus.CANCELLED, JobStatus.FAILED])
def test_a_finished_job_says_when_and_why(store: JobStore, running: Job, status: JobStatus) -> None:
    error = CRASH if status is JobStatus.FAILED else None
    assert store.finish(running.id, 1, status, error=error) is status
    job = store.get(running.id)
    assert (job.status, job.error, job.worker) == (status, error, None)
    assert job.finished_at is not None
    assert types(store, job.id)[-1] == f"job.{status}"


@pytest.mark.parametrize("status", [JobStatus.FAILED, JobStatus.STARTING])
def test_an_ending_that_makes_no_sense_changes_nothing(
    store: JobStore, running: Job, status: JobStatus
) -> None:
    with pytest.raises((ValueError, LeaseLost)):
        store.finish(running.id, 1, status)  # a failure without an error; no ending at all
    assert store.get(running.id) == running


def test_a_worker_that_must_leave_puts_its_job_back(store: JobStore, running: Job) -> None:
    assert store.requeue(running.id, 1) is JobStatus.QUEUED
    assert [entry.job_id for entry in store.unsent()] == [running.id, running.id]
    last = store.events(running.id)[-1]
    assert last.model_dump(include={"type", "reason"}) == {
        "type": "job.queued",
        "reason": "worker_left",
    }


def test_leaving_burns_no_attempt_but_failing_does(store: JobStore, job: Job) -> None:
    for attempt in range(1, 5):
        store.claim(job.id, worker="w1", lease_seconds=60)
        assert store.requeue(job.id, attempt) is JobStatus.QUEUED
    for attempt in (5, 6):
        store.claim(job.id, worker="w1", lease_seconds=60)
        assert store.retry(job.id, attempt, CRASH) is JobStatus.QUEUED
    retrying = store.events(job.id)[-1]
    assert isinstance(retrying, JobRetrying)
    assert (retrying.reason, retrying.next_attempt, retrying.max_attempts) == (CRASH, 7, 3)
    store.claim(job.id, worker="w1", lease_seconds=60)
    assert store.retry(job.id, 7, CRASH) is JobStatus.FAILED
    failed = store.events(job.id)[-1]
    assert isinstance(failed, JobFailed)
    assert failed.error == store.get(job.id).error == CRASH


@pytest.mark.parametrize(
    ("wish", "status"), [(Wish.CANCEL, JobStatus.CANCELLED), (Wish.PAUSE, JobStatus.PAUSED)]
)
@pytest.mark.parametrize("ending", ["requeue", "retry", "expire"])
def test_a_job_with_a_wish_does_not_go_back_to_the_queue(
    store: JobStore, running: Job, wish: Wish, status: JobStatus, ending: str
) -> None:
    store.wish(running.id, wish)
    match ending:
        case "requeue":
            assert store.requeue(running.id, 1) is status
        case "retry":
            assert store.retry(running.id, 1, CRASH) is status
        case _:
            store.renew(running.id, 1, lease_seconds=-1)
            assert store.expire_leases() == [running.id]
    job = store.get(running.id)
    assert (job.status, job.wish, job.error) == (status, None, None)


def test_a_lost_worker_is_found_by_its_lease(store: JobStore, running: Job, spec: JobSpec) -> None:
    other = store.create(spec)
    store.claim(other.id, worker="w2", lease_seconds=60)
    assert store.expire_leases() == []
    store.renew(running.id, 1, lease_seconds=-1)
    assert store.expire_leases() == [running.id]
    assert store.expire_leases() == []
    retrying = store.events(running.id)[-1]
    assert isinstance(retrying, JobRetrying)
    assert retrying.reason == JobError(
        code="worker_lost", message="Worker w1 gave no sign of life."
    )
    assert store.get(other.id).status is JobStatus.STARTING


def test_a_lease_that_ran_out_unnoticed_can_be_renewed(store: JobStore, running: Job) -> None:
    store.renew(running.id, 1, lease_seconds=-1)
    store.renew(running.id, 1, lease_seconds=60)
    assert store.expire_leases() == []


def test_a_resumed_run_steps_back_to_its_checkpoint(
    store: JobStore, running: Job, step_finished: StepMaker
) -> None:
    store.append(running.id, 1, [(1, step_finished(50))])
    store.requeue(running.id, 1)
    store.claim(running.id, worker="w2", lease_seconds=60)
    started = TrainStarted(
        step=40,
        total_steps=100,
        parameters=1,
        tokens_per_step=1000,
        world_size=1,
        device="cpu",
    )
    store.append(running.id, 2, [(1, started)])
    assert store.progress(running.id).step == 40


# --- messages to the workers ---------------------------------------------------------------


def test_a_sent_message_leaves_the_outbox(store: JobStore, job: Job, spec: JobSpec) -> None:
    second = store.create(spec)
    assert [entry.job_id for entry in store.unsent()] == [job.id, second.id]
    assert len(store.unsent(limit=1)) == 1
    store.mark_sent(store.unsent()[0].id)
    assert [entry.job_id for entry in store.unsent()] == [second.id]


def test_the_number_of_a_sent_message_is_not_given_again(
    store: JobStore, job: Job, spec: JobSpec
) -> None:
    (first,) = store.unsent()
    store.mark_sent(first.id)
    store.create(spec)
    assert store.unsent()[0].id != first.id
    assert job.id == first.job_id


def test_the_bell_is_rung_again_for_jobs_that_wait_long(
    store: JobStore, job: Job, running: Job, spec: JobSpec
) -> None:
    assert job.id == running.id  # held: nobody needs to be told of it
    waiting = store.create(spec)
    assert store.ring_again(older_than_seconds=-1) == 0  # its message is still in the outbox
    for entry in store.unsent():
        store.mark_sent(entry.id)
    assert store.ring_again(older_than_seconds=60) == 0
    assert store.ring_again(older_than_seconds=-1) == 1
    assert [entry.job_id for entry in store.unsent()] == [waiting.id]


def test_a_store_answers_a_ping(store: JobStore) -> None:
    store.ping()


def test_what_is_stored_survives_the_process(
    store: JobStore, database_url: str, running: Job
) -> None:
    merged = Merged(
        step=5, restart=2, layers=4, update_norm=1.0, weight_norm=2.0, residual_norm=0.0
    )
    store.append(running.id, 1, [(1, merged)])
    with closing(JobStore.open(database_url)) as another:
        assert another.get(running.id) == store.get(running.id)
        assert another.events(running.id) == store.events(running.id)
        assert another.progress(running.id).restarts == 2

"""The store of jobs, on SQLite and PostgreSQL."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from jobs.database.engine import open_engine
from jobs.errors import IllegalTransition, JobNotFound, ProfilePending
from jobs.scheduling.outbox import Outbox
from jobs.schemas.job import Job, JobSpec
from jobs.schemas.status import JobStatus, RequestedAction
from jobs.store.attempts import AttemptStore
from jobs.store.filters import JobFilter
from jobs.store.jobs import JobStore
from relora_core.events import Merged, ProfileSaved
from relora_core.spec import ScheduleSpec
from tests.jobs.samples import StepMaker, types

LONGER_THAN_THE_RUN = ScheduleSpec(warmup_steps=10**6)


def test_a_new_job_is_queued_and_waits_in_the_outbox(
    store: JobStore, outbox: Outbox, spec: JobSpec
) -> None:
    job = store.create(spec)
    assert store.get(job.id) == job
    assert job.spec == spec
    assert (job.status, job.attempt, job.worker) == (JobStatus.QUEUED, 0, None)
    assert job.progress.total_steps == 100
    assert [entry.job_id for entry in outbox.unsent()] == [job.id]
    (queued,) = store.events(job.id)
    assert (queued.type, queued.id, queued.attempt) == ("job.queued", 1, 0)


def test_times_are_in_utc(store: JobStore, job: Job) -> None:
    assert store.get(job.id).created_at.utcoffset() == datetime.now(UTC).utcoffset()
    assert abs((datetime.now(UTC) - job.created_at).total_seconds()) < 60


def test_a_spec_made_from_a_recipe_comes_back_as_it_was(store: JobStore) -> None:
    spec = JobSpec.model_validate(
        {
            "recipe": "relora_60m",
            "data": {"train": {"uri": "hf://allenai/c4"}},
            "training": {"steps": 4000, "max_grad_norm": None},
        }
    )
    assert store.get(store.create(spec).id).spec == spec


def test_a_spec_that_a_later_rule_would_refuse_is_read_as_it_was_accepted(
    store: JobStore, spec: JobSpec
) -> None:
    refused = spec.model_copy(update={"priority": 7, "schedule": LONGER_THAN_THE_RUN})
    with pytest.raises(ValueError, match=r"warmup_steps|less than"):
        JobSpec.model_validate_json(refused.model_dump_json())
    job = store.create(refused)
    assert store.get(job.id).spec == refused
    assert [listed.id for listed in store.list()] == [job.id]
    assert job.spec.train.schedule == LONGER_THAN_THE_RUN


def test_jobs_are_listed_newest_first_in_pages(store: JobStore, spec: JobSpec) -> None:
    ids = [store.create(spec).id for _ in range(5)][::-1]
    assert [job.id for job in store.list(limit=2)] == ids[:2]
    assert [job.id for job in store.list(JobFilter(before=ids[1]), limit=2)] == ids[2:4]
    store.request_action(ids[3], RequestedAction.CANCEL)
    assert [job.id for job in store.list(JobFilter(statuses=frozenset({JobStatus.CANCELLED})))] == [
        ids[3]
    ]


@pytest.mark.parametrize(
    "ask",
    [
        lambda store: store.get("job_none"),
        lambda store: store.progress("job_none"),
        lambda store: store.events("job_none"),
        lambda store: store.artifacts("job_none"),
        lambda store: store.artifact("job_none", "final/config.json"),
        lambda store: store.request_action("job_none", RequestedAction.CANCEL),
        lambda store: store.resume("job_none"),
    ],
)
def test_a_job_that_is_not_there_is_named(
    store: JobStore, ask: Callable[[JobStore], object]
) -> None:
    with pytest.raises(JobNotFound, match="There is no job 'job_none'"):
        ask(store)


@pytest.mark.parametrize(
    ("action", "status", "event"),
    [
        (RequestedAction.CANCEL, JobStatus.CANCELLED, "job.cancelled"),
        (RequestedAction.PAUSE, JobStatus.PAUSED, "job.paused"),
    ],
)
def test_a_requested_action_on_a_queued_job_is_done_at_once(
    store: JobStore, job: Job, action: RequestedAction, status: JobStatus, event: str
) -> None:
    assert store.request_action(job.id, action).status is status
    assert (
        store.request_action(job.id, action).requested_action is None
    )  # the same request twice is one event
    assert types(store, job.id) == ["job.queued", event]
    assert (store.get(job.id).finished_at is not None) == (action is RequestedAction.CANCEL)


def test_a_requested_action_on_a_running_job_waits_for_its_worker(
    store: JobStore, attempts: AttemptStore, running: Job
) -> None:
    asked = store.request_action(running.id, RequestedAction.PAUSE)
    assert store.request_action(running.id, RequestedAction.PAUSE) == asked
    assert (asked.status, asked.requested_action) == (JobStatus.RUNNING, RequestedAction.PAUSE)
    asked_of_worker = attempts.renew(running.id, 1, lease_seconds=60)
    assert asked_of_worker.action is RequestedAction.PAUSE
    assert types(store, running.id)[-1] == "job.action_requested"
    assert attempts.finish(running.id, 1, JobStatus.PAUSED) is JobStatus.PAUSED
    assert store.get(running.id).requested_action is None


def test_a_profile_is_requested_until_it_is_saved(
    store: JobStore, attempts: AttemptStore, running: Job
) -> None:
    request = store.request_profile(running.id, 5)
    newest = store.events(running.id)[-1]
    assert (newest.id, newest.type, str(newest)) == (
        request.event,
        "job.profile_requested",
        "asked for a profile of 5 steps",
    )
    assert attempts.renew(running.id, 1, lease_seconds=60).profile == request
    with pytest.raises(ProfilePending, match="was asked for a profile of 5 steps"):
        store.request_profile(running.id, 2)

    saved = ProfileSaved(from_step=3, step=8, path="profiles/step-00000003", bytes=9)
    attempts.append(running.id, 1, [(1, saved)])
    assert attempts.renew(running.id, 1, lease_seconds=60).profile is None
    assert store.request_profile(running.id, 2).event > request.event


def test_a_profile_that_an_attempt_did_not_save_is_requested_of_the_next(
    store: JobStore, attempts: AttemptStore, running: Job
) -> None:
    request = store.request_profile(running.id, 5)
    attempts.requeue(running.id, 1)
    assert attempts.claim(running.id, worker="other", lease_seconds=60)
    assert attempts.renew(running.id, 2, lease_seconds=60).profile == request


def test_only_a_running_job_is_profiled(store: JobStore, job: Job) -> None:
    with pytest.raises(IllegalTransition, match="is queued; it cannot be profiled"):
        store.request_profile(job.id, 5)
    with pytest.raises(JobNotFound):
        store.request_profile("job_unknown", 5)


def test_a_request_to_cancel_is_stronger_than_one_to_pause(
    store: JobStore, attempts: AttemptStore, running: Job
) -> None:
    store.request_action(running.id, RequestedAction.PAUSE)
    asked = store.request_action(running.id, RequestedAction.CANCEL)
    assert asked.requested_action is RequestedAction.CANCEL
    with pytest.raises(IllegalTransition, match="is being cancelled; it cannot be paused"):
        store.request_action(running.id, RequestedAction.PAUSE)
    # The worker had already seen the first request.
    assert attempts.finish(running.id, 1, JobStatus.PAUSED) is JobStatus.CANCELLED


def test_no_action_can_be_requested_of_a_finished_job(
    store: JobStore, attempts: AttemptStore, running: Job
) -> None:
    attempts.finish(running.id, 1, JobStatus.SUCCEEDED)
    with pytest.raises(IllegalTransition, match="is succeeded; it cannot be cancelled"):
        store.request_action(running.id, RequestedAction.CANCEL)


def test_a_paused_job_is_resumed_from_the_queue(store: JobStore, outbox: Outbox, job: Job) -> None:
    outbox.mark_sent(outbox.unsent()[0].id)
    store.request_action(job.id, RequestedAction.PAUSE)
    assert store.resume(job.id).status is JobStatus.QUEUED
    assert [entry.job_id for entry in outbox.unsent()] == [job.id]
    assert types(store, job.id)[-1] == "job.queued"


def test_only_a_paused_job_is_resumed(store: JobStore, running: Job) -> None:
    with pytest.raises(IllegalTransition, match="is running; it cannot be resumed"):
        store.resume(running.id)


def test_events_are_read_after_a_number_by_type_and_in_pages(
    store: JobStore, attempts: AttemptStore, running: Job, step_finished: StepMaker
) -> None:
    attempts.append(running.id, 1, [(line, step_finished(line)) for line in range(1, 6)])
    assert [event.id for event in store.events(running.id)] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert [event.id for event in store.events(running.id, after=3, limit=2)] == [4, 5]
    assert types(store, running.id)[:3] == ["job.queued", "job.claimed", "job.started"]
    only = store.events(running.id, types={"job.started", "train.step"}, limit=2)
    assert [event.type for event in only] == ["job.started", "train.step"]
    assert store.events(running.id, after=8) == []


def test_events_of_several_rare_types_come_in_the_order_of_the_log(
    store: JobStore, attempts: AttemptStore, running: Job, step_finished: StepMaker
) -> None:
    attempts.append(running.id, 1, [(line, step_finished(line)) for line in range(1, 6)])
    attempts.warn(running.id, 1, "slow", "it is slow")
    rare = {"job.warning", "job.claimed", "job.queued"}
    found = store.events(running.id, types=rare, limit=3)
    assert [event.id for event in found] == [1, 2, 9]
    assert [event.id for event in store.events(running.id, types=rare, after=1, limit=1)] == [2]


def test_a_store_answers_a_ping(store: JobStore) -> None:
    store.ping()


def test_what_is_stored_survives_the_process(
    store: JobStore, attempts: AttemptStore, database_url: str, running: Job
) -> None:
    merged = Merged(
        step=5, restart=2, layers=4, update_norm=1.0, weight_norm=2.0, residual_norm=0.0
    )
    attempts.append(running.id, 1, [(1, merged)])
    engine = open_engine(database_url)
    another = JobStore(engine)
    assert another.get(running.id) == store.get(running.id)
    assert another.events(running.id) == store.events(running.id)
    assert another.progress(running.id).restarts == 2
    engine.dispose()

"""Sweeps in both databases."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine

from jobs.access.projects import ProjectStore
from jobs.errors import IdempotencyConflict, QuotaExceeded, SweepNotFound
from jobs.scheduling.outbox import Outbox
from jobs.schemas.job import JobSpec
from jobs.schemas.projects import ProjectChanges, Quotas
from jobs.schemas.status import JobStatus, RequestedAction
from jobs.schemas.sweeps import NewSweep, Sweep
from jobs.store.attempts import AttemptStore
from jobs.store.jobs import JobStore
from jobs.sweeps.grid import plan
from jobs.sweeps.store import SubmittedSweep, SweepStore
from relora_core.events import StepFinished, TrainFinished

Create = Callable[..., SubmittedSweep]


@pytest.fixture
def sweeps(engine: Engine) -> SweepStore:
    return SweepStore(engine)


@pytest.fixture
def create(sweeps: SweepStore, spec: JobSpec) -> Create:
    def make(key: str | None = None, **grid: Any) -> SubmittedSweep:
        new = NewSweep(base=spec.model_dump(mode="json"), grid=grid or {"seed": [0, 1, 2]})
        return sweeps.create(new, plan(new.base, new.grid), project="default", key=key)

    return make


@pytest.fixture
def sweep(create: Create) -> Sweep:
    return create().sweep


def test_a_sweep_has_its_jobs_in_the_queue(
    store: JobStore, sweeps: SweepStore, outbox: Outbox, sweep: Sweep
) -> None:
    ids = [job.job_id for job in sweep.jobs]
    assert [job.id for job in store.list()] == ids[::-1]
    assert [entry.job_id for entry in outbox.unsent()] == ids
    assert [(job.name, job.changes) for job in sweep.jobs] == [
        (f"tiny/seed={seed}", {"seed": seed}) for seed in range(3)
    ]
    assert (sweep.name, sweep.grid, sweep.counts) == ("tiny", {"seed": [0, 1, 2]}, {"queued": 3})
    assert sweeps.get(sweep.id, project="default") == sweep


def test_its_jobs_are_reported_side_by_side(
    sweeps: SweepStore,
    attempts: AttemptStore,
    sweep: Sweep,
    step_finished: Callable[[int], StepFinished],
) -> None:
    job_id = sweep.jobs[1].job_id
    attempts.claim(job_id, worker="w1", lease_seconds=60)
    attempts.started(job_id, 1, resumed_from=None)
    finished = TrainFinished(
        step=100,
        tokens_seen=100_000,
        restarts=1,
        skipped_steps=0,
        seconds=200.0,
        peak_memory_bytes=1 << 30,
    )
    attempts.append(job_id, 1, [(1, step_finished(100)), (2, finished)])
    attempts.finish(job_id, 1, JobStatus.SUCCEEDED)
    report = sweeps.get(sweep.id, project="default")
    job = report.jobs[1]
    assert (job.status, job.step, job.loss) == ("succeeded", 100, 4.0)
    assert (job.tokens_per_second, job.peak_memory_bytes) == (500.0, 1 << 30)
    assert (report.jobs[0].loss, report.jobs[0].error) == (None, None)
    assert report.counts == {"queued": 2, "succeeded": 1}


def test_a_sweep_that_does_not_fit_the_quota_makes_no_job(
    store: JobStore, sweeps: SweepStore, projects: ProjectStore, outbox: Outbox, create: Create
) -> None:
    projects.change("default", ProjectChanges(quotas=Quotas(queued_jobs=2)))
    with pytest.raises(QuotaExceeded):
        create()
    assert store.list() == []
    assert outbox.unsent() == []
    assert sweeps.list(project="default", limit=10) == []


def test_the_same_key_gives_the_same_sweep(store: JobStore, create: Create) -> None:
    first, second = create(key="k"), create(key="k")
    assert (first.is_new, second.is_new) == (True, False)
    assert second.sweep == first.sweep
    assert len(store.list()) == 3
    with pytest.raises(IdempotencyConflict):
        create(key="k", seed=[7])


def test_a_cancelled_sweep_cancels_what_is_not_over(
    store: JobStore, sweeps: SweepStore, attempts: AttemptStore, sweep: Sweep
) -> None:
    attempts.claim(sweep.jobs[0].job_id, worker="w1", lease_seconds=60)
    cancelled = sweeps.cancel(sweep.id, project="default")
    assert cancelled.counts == {"starting": 1, "cancelled": 2}
    assert store.get(sweep.jobs[0].job_id).requested_action is RequestedAction.CANCEL
    assert sweeps.cancel(sweep.id, project="default") == cancelled


def test_sweeps_are_listed_newest_first_in_pages(sweeps: SweepStore, create: Create) -> None:
    ids = [create(seed=[seed]).sweep.id for seed in range(3)][::-1]
    first = sweeps.list(project="default", limit=2)
    second = sweeps.list(project="default", limit=2, before=first[-1].id)
    assert [one.id for one in first + second] == ids
    assert first[0].counts == {"queued": 1}


def test_another_project_sees_no_sweep(sweeps: SweepStore, sweep: Sweep) -> None:
    assert sweeps.list(project="other", limit=10) == []
    for ask in (sweeps.get, sweeps.cancel):
        with pytest.raises(SweepNotFound):
            ask(sweep.id, project="other")


def test_a_deleted_job_leaves_its_sweep(store: JobStore, sweeps: SweepStore, sweep: Sweep) -> None:
    store.request_action(sweep.jobs[0].job_id, RequestedAction.CANCEL)
    store.delete(sweep.jobs[0].job_id)
    left = sweeps.get(sweep.id, project="default").jobs
    assert [job.job_id for job in left] == [job.job_id for job in sweep.jobs[1:]]

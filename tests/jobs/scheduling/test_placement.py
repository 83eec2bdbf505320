"""The placement of jobs on workers, on both databases."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine

from jobs.access.projects import ProjectStore
from jobs.broker.celery_queue import queue_for, queues_of
from jobs.scheduling.outbox import Outbox
from jobs.scheduling.queue_order import WaitingJobs
from jobs.scheduling.workers import WorkerStore
from jobs.schemas.events import JobClaimed
from jobs.schemas.job import JobSpec
from jobs.schemas.projects import NewProject, Quotas
from jobs.schemas.resources import Resources
from jobs.schemas.status import JobStatus
from jobs.schemas.workers import Gpu, Registration
from jobs.store.attempts import AttemptStore
from jobs.store.jobs import JobStore


@pytest.fixture
def workers(engine: Engine) -> WorkerStore:
    return WorkerStore(engine)


def registration(name: str, gpus: int, gpu_class: str | None = None) -> Registration:
    gpu = Gpu(name="NVIDIA H100 80GB HBM3", memory_bytes=81559 << 20)
    return Registration(
        name=name,
        host="node",
        version="1",
        gpus=(gpu,) * gpus,
        gpu_class=gpu_class,
        started_at=datetime.now(UTC),
    )


def asking(spec: JobSpec, gpus: int) -> JobSpec:
    training = spec.training.model_copy(update={"global_batch_size": 64})
    return spec.model_copy(update={"resources": Resources(gpus=gpus), "training": training})


def take(attempts: AttemptStore, gpus: int) -> str | None:
    job = attempts.claim_next(worker=f"of-{gpus}", lease_seconds=60, gpus=gpus)
    return job.id if job else None


def test_a_job_is_left_to_a_worker_that_has_the_gpus(
    store: JobStore, attempts: AttemptStore, workers: WorkerStore, spec: JobSpec
) -> None:
    workers.beat(registration("small", 1))
    big, small = (store.create(asking(spec, gpus)).id for gpus in (8, 1))
    assert attempts.claim(big, worker="small", lease_seconds=60, gpus=1) is None
    assert [type(event).__name__ for event in store.events(big)] == ["JobQueued"]
    assert take(attempts, 1) == small
    assert take(attempts, 1) is None
    assert take(attempts, 8) == big
    assert isinstance(store.events(big)[-1], JobClaimed)


def test_a_big_worker_takes_the_oldest_job_whatever_it_asks_for(
    store: JobStore, attempts: AttemptStore, spec: JobSpec
) -> None:
    ids = [store.create(asking(spec, gpus)).id for gpus in (1, 8, 2)]
    assert [take(attempts, 8) for _ in ids] == ids


def test_cpus_train_where_no_worker_has_a_gpu(
    store: JobStore, attempts: AttemptStore, workers: WorkerStore, spec: JobSpec
) -> None:
    job_id = store.create(asking(spec, 2)).id
    workers.beat(registration("cpu", 0))
    workers.beat(registration("gpu", 2))
    assert take(attempts, 0) is None
    workers.leave("gpu")
    assert take(attempts, 0) == job_id


def test_a_job_says_that_no_worker_has_its_gpus(
    store: JobStore, engine: Engine, workers: WorkerStore, spec: JobSpec
) -> None:
    job_id = store.create(asking(spec, 8)).id
    assert store.progress(job_id).unschedulable_reason is None
    workers.beat(registration("small", 1))
    expected = "no worker has 8 GPUs; the largest has 1"
    assert store.progress(job_id).unschedulable_reason == expected
    (queued,) = WaitingJobs(engine).list(project="default", limit=10)
    assert queued.unschedulable_reason == expected
    workers.beat(registration("big", 8))
    assert store.progress(job_id).unschedulable_reason is None


def test_a_job_says_that_the_workers_that_fit_are_unhealthy(
    store: JobStore, workers: WorkerStore, spec: JobSpec
) -> None:
    job_id = store.create(asking(spec, 8)).id
    expected = "no worker that fits is healthy; `relora workers` says what is wrong"
    workers.beat(registration("cpu", 0), problem="the disk is full")
    assert store.progress(job_id).unschedulable_reason == expected
    workers.beat(registration("small", 1))
    workers.beat(registration("big", 8), problem="the disk is full")
    assert store.progress(job_id).unschedulable_reason == expected
    workers.beat(registration("big", 8))
    assert store.progress(job_id).unschedulable_reason is None


def test_a_message_goes_to_workers_that_have_the_gpus(
    store: JobStore, outbox: Outbox, workers: WorkerStore, spec: JobSpec
) -> None:
    store.create(asking(spec, 8))
    assert [entry.gpus for entry in outbox.unsent()] == [None]
    workers.beat(registration("small", 1))
    assert [entry.gpus for entry in outbox.unsent()] == [8]
    outbox.mark_sent(outbox.unsent()[0].id)
    assert outbox.overdue(-1) == [(8, None)]
    assert outbox.resend(-1, gpus=1) == 0
    assert outbox.resend(-1, gpus=8) == 1


def test_a_message_is_passed_on_while_its_job_waits(
    store: JobStore, attempts: AttemptStore, outbox: Outbox, spec: JobSpec
) -> None:
    job_id = store.create(spec).id
    outbox.mark_sent(outbox.unsent()[0].id)
    outbox.renotify(job_id, worker="w1")
    (entry,) = outbox.unsent()
    assert entry.job_id == job_id
    outbox.mark_sent(entry.id)
    assert take(attempts, 0) == job_id
    outbox.renotify(job_id, worker="w1")
    assert outbox.unsent() == []


def test_a_job_that_no_worker_fits_keeps_none_of_its_project_waiting(
    store: JobStore,
    attempts: AttemptStore,
    outbox: Outbox,
    projects: ProjectStore,
    workers: WorkerStore,
    spec: JobSpec,
) -> None:
    projects.create(NewProject(name="team", quotas=Quotas(running_jobs=1)))
    workers.beat(registration("small", 1))
    store.create(asking(spec, 8), project="team")
    first, second = (store.create(asking(spec, 1), project="team").id for _ in range(2))
    assert [take(attempts, 1) for _ in range(2)] == [first, None]
    attempts.finish(first, 1, JobStatus.CANCELLED)
    assert outbox.notify_where_there_is_room() == 1
    assert take(attempts, 1) == second


def of_class(spec: JobSpec, gpu_class: str, gpus: int = 1) -> JobSpec:
    asked = asking(spec, gpus)
    return asked.model_copy(update={"resources": Resources(gpus=gpus, gpu=gpu_class)})


def test_a_job_runs_on_the_class_of_gpu_that_it_asks_for(
    store: JobStore, attempts: AttemptStore, spec: JobSpec
) -> None:
    job_id = store.create(of_class(spec, "h100")).id
    for gpu_class in (None, "l4"):
        assert (
            attempts.claim_next(worker="w", lease_seconds=60, gpus=8, gpu_class=gpu_class) is None
        )
    job = attempts.claim_next(worker="w", lease_seconds=60, gpus=8, gpu_class="h100")
    assert job is not None
    assert job.id == job_id


def test_a_job_of_no_class_runs_on_any(
    store: JobStore, attempts: AttemptStore, spec: JobSpec
) -> None:
    job_id = store.create(asking(spec, 1)).id
    job = attempts.claim_next(worker="w", lease_seconds=60, gpus=1, gpu_class="h100")
    assert job is not None
    assert job.id == job_id


def test_a_job_says_that_no_worker_has_gpus_of_its_class(
    store: JobStore, workers: WorkerStore, spec: JobSpec
) -> None:
    job_id = store.create(of_class(spec, "h100", gpus=2)).id
    workers.beat(registration("l4", 8, "l4"))
    expected = "no worker has GPUs of the class h100"
    assert store.progress(job_id).unschedulable_reason == expected
    workers.beat(registration("h100", 1, "h100"))
    expected = "no worker has 2 GPUs of the class h100; the largest has 1"
    assert store.progress(job_id).unschedulable_reason == expected
    workers.beat(registration("large", 2, "h100"))
    assert store.progress(job_id).unschedulable_reason is None


def test_the_message_of_a_job_goes_to_the_queue_of_its_class(
    store: JobStore, engine: Engine, workers: WorkerStore, spec: JobSpec
) -> None:
    store.create(of_class(spec, "h100", gpus=2))
    outbox = Outbox(engine)

    def queues() -> list[str]:
        return [queue_for(entry.gpus, entry.gpu_class) for entry in outbox.unsent()]

    assert queues() == ["relora.class-h100"]  # a worker may come that has no GPU in nvidia-smi
    workers.beat(registration("l4", 8, "l4"))
    assert queues() == ["relora.gpus-2.class-h100"]


def test_a_worker_takes_messages_of_its_class_and_of_none() -> None:
    assert queues_of(0) == ["relora"]
    assert queues_of(1, "h100") == [
        "relora",
        "relora.gpus-1",
        "relora.class-h100",
        "relora.gpus-1.class-h100",
    ]

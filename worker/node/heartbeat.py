"""The heartbeat of this worker, which keeps it in the list of workers while it lives."""

import logging
import os
import platform
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from secrets import token_hex

from jobs.outages import FailureLog, log_failure
from jobs.scheduling.workers import BEAT_SECONDS, WorkerStore
from jobs.schemas.workers import Registration
from worker.node.gpus import gpus_here, measured

logger = logging.getLogger(__name__)


def registration(gpu_class: str | None = None) -> Registration:
    """Return the identity of a new worker. Raise `GpusUnreadable` if its GPUs cannot be listed.

    Call it once in the worker's life.
    """
    return Registration(
        name=worker_name(),
        host=platform.node(),
        version=version("relora"),
        gpus=gpus_here(),
        gpu_class=gpu_class,
        started_at=datetime.now(UTC),
    )


def worker_name() -> str:
    """Return a new name for a worker process.

    The name has a random part: containers may share host names and process ids, and a restarted
    worker is a new worker.
    """
    return f"{platform.node()}-{os.getpid()}-{token_hex(3)}"


class Heartbeat:
    """A thread that regularly reports that the worker is alive, what the sensors of its GPUs read
    and what is wrong with its node.

    After any error it tries again.
    """

    def __init__(
        self,
        store: WorkerStore,
        worker: Registration,
        problem: Callable[[], str | None],
        *,
        after_beat: Callable[[], None] = lambda: None,
        every_seconds: float = BEAT_SECONDS,
    ) -> None:
        self._store = store
        self._worker = worker
        self._problem = problem
        self._after_beat = after_beat
        self._every_seconds = every_seconds
        self._failures = FailureLog(logger, "say that the worker lives")
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread and remove the worker from the list.

        A worker that is killed disappears from the list only after a while.
        """
        self._ended.set()
        self._thread.join()
        try:
            self._store.leave(self._worker.name)
        except Exception as error:  # the worker disappears from the list by itself
            log_failure(logger, "leave the list of workers", error)

    def beat(self) -> None:
        """Report now, in addition to the regular reports."""
        self._failures.guard(lambda: self._store.beat(self._measured(), problem=self._problem()))
        self._after_beat()

    def _measured(self) -> Registration:
        return self._worker.model_copy(update={"gpus": tuple(map(measured, self._worker.gpus))})

    def _run(self) -> None:
        while True:
            self.beat()
            if self._ended.wait(self._every_seconds):
                return

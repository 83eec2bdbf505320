"""This worker in the list of workers, for as long as it lives."""

import logging
import os
import platform
import subprocess
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version

from sqlalchemy.exc import SQLAlchemyError

from jobs.workers import BEAT_SECONDS, Gpu, Registration, WorkerStore

logger = logging.getLogger(__name__)

_NVIDIA_SMI = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
_MIB = 1 << 20


def registration() -> Registration:
    host = platform.node()
    return Registration(
        name=f"{host}-{os.getpid()}",
        host=host,
        version=version("relora"),
        gpus=gpus_here(),
        started_at=datetime.now(UTC),
    )


def gpus_here() -> tuple[Gpu, ...]:
    """As the driver lists them, and CUDA_VISIBLE_DEVICES leaves them to this process: torch would
    take memory of each to say the same."""
    try:
        answer = subprocess.run(_NVIDIA_SMI, capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return ()
    gpus = tuple(_gpu(line) for line in answer.stdout.splitlines())
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return gpus if visible is None else gpus[: _num_named(visible)]


def _num_named(visible: str) -> int:
    """As CUDA reads it: up to the first that is none."""
    names = [name.strip() for name in visible.split(",")]
    return next((n for n, name in enumerate(names) if not name or name.startswith("-")), len(names))


def _gpu(line: str) -> Gpu:
    name, _, mebibytes = line.rpartition(",")
    return Gpu(name=name.strip(), memory_bytes=int(mebibytes) * _MIB)


class Heartbeat:
    """A thread that says that the worker lives, and what is wrong with its node.

    A store that is away is told later.
    """

    def __init__(
        self,
        store: WorkerStore,
        worker: Registration,
        problem: Callable[[], str | None],
        *,
        every_seconds: float = BEAT_SECONDS,
    ) -> None:
        self._store = store
        self._worker = worker
        self._problem = problem
        self._every_seconds = every_seconds
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Leave the list at once; a worker that is killed is forgotten after a while."""
        self._ended.set()
        self._thread.join()
        try:
            self._store.leave(self._worker.name)
        except SQLAlchemyError as error:
            logger.warning("the worker stays in the list for now: %s", error)

    def beat(self) -> None:
        """Say it now, too."""
        try:
            self._store.beat(self._worker, problem=self._problem())
        except SQLAlchemyError as error:
            logger.warning("the worker could not say that it lives: %s", error)

    def _run(self) -> None:
        while True:
            self.beat()
            if self._ended.wait(self._every_seconds):
                return

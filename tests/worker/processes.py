"""Worker processes that tests start and kill."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import SecretStr

from jobs.settings import Settings

PATIENCE = 240.0  # seconds, on a busy machine that runs several tests at once


def environ(settings: Settings) -> dict[str, str]:
    """Return the environment that makes another process read the same settings."""
    values = settings.model_dump(exclude_none=True, exclude_unset=True).items()
    return os.environ | {f"RELORA_{name.upper()}": _plain(value) for name, value in values}


def _plain(value: object) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


class WorkerProcess:
    """A real Celery worker, with its output in a file."""

    def __init__(self, settings: Settings, log: Path, *, app: str = "worker.tasks") -> None:
        self._log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "celery", "-A", app, "worker", "-l", "info"],
                env=environ(settings),
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def terminate(self) -> int:
        """Send SIGTERM, as a deployment does, and return the exit code."""
        self._process.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self) -> int:
        """Wait for the end of the worker and return its exit code."""
        return self._process.wait(PATIENCE)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    @property
    def log(self) -> str:
        return self._log.read_text()


@contextmanager
def scripted_worker(settings: Settings, log: Path) -> Iterator[WorkerProcess]:
    """Start a worker with the scripted trainer, and kill it at the end of the block."""
    worker = WorkerProcess(settings, log, app="tests.worker.scripted_worker")
    try:
        yield worker
    finally:
        worker.kill()


def wait_until(
    fulfilled: Callable[[], bool],
    *,
    meanwhile: Callable[[], object] = lambda: None,
    seconds: float = PATIENCE,
) -> None:
    give_up_at = time.monotonic() + seconds
    while not fulfilled():
        assert time.monotonic() < give_up_at, "waited in vain"
        meanwhile()
        time.sleep(0.1)


def trainers(data_dir: Path) -> list[int]:
    """Return the pids of the trainers of this data folder: torchrun and the ranks."""
    return list(_trainers(data_dir))


def ranks(data_dir: Path) -> list[int]:
    commands = _trainers(data_dir).items()
    return [pid for pid, command in commands if b"worker.launchers.ranks" not in command]


def _trainers(data_dir: Path) -> dict[int, bytes]:
    """Return the command line of each process of the trainers, by its pid."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes()
        except OSError:
            continue  # the process has ended
        is_trainer = b"relora_core" in command or b"scripted_trainer" in command
        if is_trainer and bytes(data_dir) in command:
            found[int(folder.name)] = command
    return found

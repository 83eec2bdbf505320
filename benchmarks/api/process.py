"""The server as users run it: a separate process, with SQLite and a real Valkey."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from benchmarks.memory import peak_of, reset_peak_of
from jobs.settings import Settings

START_SECONDS = 60.0
MEGABYTE = 1_000_000


@dataclass(frozen=True)
class ServerProcess:
    port: int
    pid: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def reset_peak(self) -> None:
        reset_peak_of(self.pid)

    def peak_megabytes(self) -> float:
        """Return the peak resident memory since the start or the last `reset_peak`."""
        return peak_of(self.pid) / MEGABYTE


@contextmanager
def server_process(settings: Settings) -> Iterator[ServerProcess]:
    port = free_port()
    with (settings.data_dir / "server.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "service.server", "--port", str(port)],
            env={**os.environ, **_environment(settings)},
            stdout=log,
            stderr=log,
        )
        try:
            _wait_until_it_answers(process, port, log_file=Path(log.name))
            yield ServerProcess(port, process.pid)
        finally:
            process.terminate()
            process.wait()


def free_port() -> int:
    """Return a port that no process listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


def _environment(settings: Settings) -> dict[str, str]:
    return {
        "RELORA_DATA_DIR": str(settings.data_dir),
        "RELORA_DATABASE_URL": settings.database_url,
        "RELORA_BROKER_URL": settings.broker_url,
        "RELORA_STORAGE_URL": settings.storage_url,
    }


def _wait_until_it_answers(process: subprocess.Popen[bytes], port: int, log_file: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            httpx.get(f"http://127.0.0.1:{port}/healthz").raise_for_status()
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"the server did not start:\n{log_file.read_text()[-2000:]}")

"""Run `relora up` as a child process of a program, such as the demo or a benchmark."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.local.supervisor import end_with_parent

START_SECONDS = 90.0
STOP_SECONDS = 150.0


class NotStarted(Exception):
    """The service ended or did not answer in time."""


@contextmanager
def running(data_dir: Path, *, workers: int = 1) -> Iterator[str]:
    """Run the service on a free port until the end of the block. Yield its URL.

    On Linux it also ends if this process is killed.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    address = data_dir / "url"
    address.unlink(missing_ok=True)
    command = [sys.executable, "-m", "service.cli", "up"]
    command += ["--port", "0", "--data-dir", str(data_dir), "--workers", str(workers)]
    # In a new session, so that a Ctrl-C reaches only this process, which then stops the service.
    process = subprocess.Popen(command, start_new_session=True, preexec_fn=end_with_parent)
    try:
        yield _url_in(address, process)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        finally:
            process.kill()


def _url_in(address: Path, process: subprocess.Popen[bytes]) -> str:
    deadline = time.monotonic() + START_SECONDS
    while not address.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise NotStarted(
                f"the service did not start; its logs are in {address.parent / 'logs'}"
            )
        time.sleep(0.1)
    return address.read_text().strip()

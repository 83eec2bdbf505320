"""Process 1 of the worker's image."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.worker.processes import wait_until

pytestmark = pytest.mark.integration


def start(program: str, log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "worker.init", sys.executable, "-c", program], stdout=output
        )


@pytest.mark.parametrize(
    ("program", "code"),
    [
        ("import sys; sys.exit(3)", 3),
        ("import os; os.kill(os.getpid(), 9)", 128 + signal.SIGKILL),
        ("import os; os.fork() or os._exit(4); os._exit(5)", 5),
    ],
)
def test_it_ends_as_its_command_does(program: str, code: int, tmp_path: Path) -> None:
    assert start(program, tmp_path / "log").wait(60) == code


def test_a_signal_reaches_the_command(tmp_path: Path) -> None:
    log = tmp_path / "log"
    program = """
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
print("ready", flush=True)
signal.pause()
"""
    init = start(program, log)
    wait_until(lambda: log.read_text() == "ready\n")
    os.kill(init.pid, signal.SIGTERM)
    assert init.wait(60) == 7

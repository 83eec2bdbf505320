"""Child processes: restart them when they die, and stop them in order."""

import ctypes
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jobs.backoff import Backoff

logger = logging.getLogger(__name__)

BACKOFF = Backoff(first=0.5, longest=30.0)
STEADY_SECONDS = 60.0  # a process that ran for longer did not fail at its start
PR_SET_PDEATHSIG = 1  # of Linux's prctl
LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


@dataclass
class Child:
    """A child process with its log file. `grace_seconds` is its time to end after SIGTERM."""

    name: str
    command: Sequence[str]
    log: Path
    environment: Mapping[str, str]
    grace_seconds: float = 10.0
    pass_fds: Sequence[int] = ()
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _deaths: int = field(default=0, init=False)
    _started_at: float = field(default=0.0, init=False)
    _restart_at: float = field(default=0.0, init=False)

    def start(self) -> None:
        """Start it in a session of its own, so that Ctrl-C in the terminal does not reach it."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.environment},
                pass_fds=self.pass_fds,
                start_new_session=True,
                preexec_fn=end_with_parent,  # safe: no other thread runs at the fork
            )
        self._started_at = time.monotonic()

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def restart_if_dead(self) -> None:
        """Restart it if it died. The delay grows with the number of deaths."""
        now = time.monotonic()
        if self.running:
            return
        if self.process is not None:
            self._deaths = 0 if now - self._started_at > STEADY_SECONDS else self._deaths
            self._deaths += 1
            delay = BACKOFF.wait(self._deaths)
            code = self.process.returncode
            logger.warning("%s ended with %s; again in %.1f s", self.name, code, delay)
            self._restart_at = now + delay
            self.process = None
        if now >= self._restart_at:
            self.start()

    def stop(self) -> None:
        """Send SIGTERM and wait. Kill it if it does not end within `grace_seconds`."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(self.grace_seconds)
        except subprocess.TimeoutExpired:
            logger.warning("%s did not end in %.0f s; killed", self.name, self.grace_seconds)
            self.kill()

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()


class Supervisor:
    """Child processes in the order of their start. Each may need those before it."""

    def __init__(self) -> None:
        self._children: list[Child] = []

    def start(self, child: Child) -> None:
        child.start()
        self._children.append(child)

    def restart_if_dead(self) -> None:
        for child in self._children:
            child.restart_if_dead()

    def stop(self) -> None:
        """Stop them in reverse order. Kill the rest if this is interrupted."""
        try:
            for child in reversed(self._children):
                child.stop()
        finally:
            for child in self._children:
                child.kill()


def end_with_parent() -> None:
    """Make Linux send SIGTERM to this child if its parent dies. It runs in the child."""
    if LIBC is not None:
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)

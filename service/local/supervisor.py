"""Child processes that are kept alive, and stopped in order."""

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
STEADY_SECONDS = 60.0  # who ran for so long is not failing at its start
PR_SET_PDEATHSIG = 1  # of Linux's prctl
LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


@dataclass
class Child:
    """A command with its log file; `grace_seconds` is its time to end when asked."""

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
        """Start it in a session of its own, so that a Ctrl-C in the terminal passes it by."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.environment},
                pass_fds=self.pass_fds,
                start_new_session=True,
                preexec_fn=_end_with_parent,  # no thread runs when it forks
            )
        self._started_at = time.monotonic()

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def tend(self) -> None:
        """Start it again if it died; the more often it dies, the later."""
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
        """Ask it to end, and wait; past its grace it is killed."""
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


class Children:
    """Children in the order of their start; each may need those before it."""

    def __init__(self) -> None:
        self._children: list[Child] = []

    def start(self, child: Child) -> None:
        child.start()
        self._children.append(child)

    def tend(self) -> None:
        for child in self._children:
            child.tend()

    def stop(self) -> None:
        """Stop the last first. Interrupted, kill all that is left."""
        try:
            for child in reversed(self._children):
                child.stop()
        finally:
            for child in self._children:
                child.kill()


def _end_with_parent() -> None:
    """Runs in the child: should the parent be killed, the child is asked to end. Linux only."""
    if LIBC is not None:
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)

"""Processes of an attempt: started apart from the worker, ended with all that they started."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, cast

GRACE_SECONDS = 3.0
LAST_BYTES, LAST_LINES = 16_000, 20
PR_SET_DUMPABLE = 4  # of Linux's prctl


class TiedProcess:
    """One in a session of its own, so that a signal to the worker does not reach it.

    Its standard input is a pipe that this process holds open. When it closes, by `kill` or
    because the worker died, it ends by itself: of a trainer, every rank exits at once. A trainer
    has a watchdog, which ends it when `live_until` brings no later moment in time. `cwd`, where
    it starts, is made if it is not there.
    """

    def __init__(
        self, command: Sequence[str], *, environ: Mapping[str, str], cwd: Path, log: Path
    ) -> None:
        cwd.mkdir(exist_ok=True)
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                bufsize=0,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environ,
                cwd=cwd,
                start_new_session=True,
            )
        self._input = cast("IO[bytes]", self._process.stdin)  # a pipe was asked for
        self._input_lock = threading.Lock()
        os.set_blocking(self._input.fileno(), False)

    @property
    def pid(self) -> int:
        return self._process.pid

    def exit_code(self) -> int | None:
        """None while it lives; -9 when signal 9 ended it."""
        return self._process.poll()

    def live_until(self, end: float) -> None:
        """Tell its watchdog, if it has one, that the lease is held until then. Never waits."""
        with self._input_lock, contextlib.suppress(BrokenPipeError):  # it has ended
            if not self._input.closed:
                self._input.write(f"{end}\n".encode())

    def kill(self, grace_seconds: float = GRACE_SECONDS) -> None:
        """End it; return when all of it is gone. One that has ended is left as it is.

        The ranks go by themselves, then the parent that waits for them; what does not within
        the grace is killed, ranks too: a stopped one does not see that its input closes, and
        torchrun gives each a session of its own.
        """
        started = descendants(self._process.pid)
        with self._input_lock:
            self._input.close()
        try:
            self._process.wait(grace_seconds)
        except subprocess.TimeoutExpired:
            for pid in started:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


def log_tail(log: Path) -> str:
    """Return the last lines of what a process printed."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - LAST_BYTES))
        is_cut = file.tell() > 0
        lines = file.read().decode(errors="replace").splitlines()
    if is_cut and len(lines) > 1:
        del lines[0]  # it may begin inside of a secret, which nobody would find to mask
    return "\n".join(lines[-LAST_LINES:])


def descendants(pid: int) -> list[int]:
    """Return what the process started, and what that did; nothing where there is no /proc."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended
            _, _, after_name = stat.read_text(errors="replace").rpartition(") ")
            children.setdefault(int(after_name.split()[1]), []).append(int(stat.parent.name))
    found = list(children.get(pid, []))
    for one in found:  # which grows meanwhile
        found += children.get(one, [])
    return found


def forbid_inspection() -> None:
    """Keep this process's environment and memory from processes of the same user. Linux only.

    The kernel gives its files in /proc to root. A program that it starts is not hidden.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0)

"""Child processes of an attempt. Each has its own session and ends with all its descendants."""

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
PR_SET_DUMPABLE = 4  # an option of prctl(2) on Linux


class TiedProcess:
    """A child process in its own session, so that a signal to the worker does not reach it.

    Its standard input is a pipe that the worker holds open. When the pipe closes, by `kill` or
    because the worker died, the child ends by itself; every rank of a trainer exits at once. A
    trainer also has a watchdog. The watchdog ends the trainer if `live_until` does not extend the
    lease in time. The process starts in the folder `cwd`, which is created if necessary.
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
        self._input = cast("IO[bytes]", self._process.stdin)  # stdin=PIPE
        self._input_lock = threading.Lock()
        os.set_blocking(self._input.fileno(), False)

    @property
    def pid(self) -> int:
        return self._process.pid

    def exit_code(self) -> int | None:
        """Return the exit code, None while the process runs, or -9 if signal 9 ended it."""
        return self._process.poll()

    def live_until(self, end: float) -> None:
        """Tell the watchdog of the process, if it has one, when the lease ends. Never block."""
        self.send(str(end))

    def send(self, line: str) -> None:
        """Send a short line to the standard input of the process, if it still runs. Never block."""
        with self._input_lock, contextlib.suppress(BrokenPipeError):  # the process has ended
            if not self._input.closed:
                self._input.write(f"{line}\n".encode())

    def kill(self, grace_seconds: float = GRACE_SECONDS) -> None:
        """End the process and its descendants, and wait until all are gone.

        Do nothing to a process that has already ended. Normally the ranks exit by themselves, and
        then their parent does. After the grace period the rest is killed, ranks too: a stopped
        (SIGSTOP) rank does not notice that its input closes, and torchrun gives each rank its own
        session.
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
    """Return the last lines of a log file."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - LAST_BYTES))
        is_cut = file.tell() > 0
        lines = file.read().decode(errors="replace").splitlines()
    if is_cut and len(lines) > 1:
        del lines[0]  # it may begin in the middle of a secret, which would not be masked
    return "\n".join(lines[-LAST_LINES:])


def descendants(pid: int) -> list[int]:
    """Return the pids of all descendants of a process. Return no pid if there is no /proc."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # the process has ended
            _, _, after_name = stat.read_text(errors="replace").rpartition(") ")
            children.setdefault(int(after_name.split()[1]), []).append(int(stat.parent.name))
    found = list(children.get(pid, []))
    for one in found:  # the list grows during the loop
        found += children.get(one, [])
    return found


def forbid_inspection() -> None:
    """Hide this process's environment and memory from processes of the same user. Linux only.

    The kernel makes root the owner of its files in /proc. Programs that this process starts are not
    hidden.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0)

"""The trainer as a process: started apart from the worker, ended with all that it started."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

GRACE_SECONDS = 3.0


class TrainerProcess:
    """A trainer in a session of its own, so that a signal to the worker does not reach it.

    Its standard input is a pipe that this process holds open. When it closes, by `kill` or
    because the worker died, the trainer's ranks exit at once, whatever their parent does.
    """

    def __init__(self, command: Sequence[str], *, environ: Mapping[str, str], log: Path) -> None:
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environ,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def exit_code(self) -> int | None:
        """None while it lives; -9 when signal 9 ended it."""
        return self._process.poll()

    def kill(self) -> None:
        """End it at once; return when its ranks are gone. One that has ended is left as it is.

        The ranks go by themselves, then the parent that waits for them; what does not is killed.
        """
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

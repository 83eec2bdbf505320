"""A trainer's parent ends it when its lease is over, also while the worker itself is stopped.

The worker sends each new end of the lease over standard input, as a line: a moment of
`worker.attempt.clock`, which all processes of a host share.
"""

import os
import select
import signal
from contextlib import suppress
from threading import Thread

from worker.attempt import clock
from worker.launchers.process import descendants

FIRST_SECONDS = 10.0  # for the first line; the worker sends it as soon as this process is started
LOOK_SECONDS = 1.0  # a wait does not count the time that the host sleeps
PIPE_BYTES = 1 << 16  # what a pipe holds: a read gets all the lines that wait


def start_watchdog() -> None:
    """End this process and all that it starts when the lease is over.

    What it starts gets a standard input that closes when ours does, or when this process dies.
    """
    ends_of_lease = os.dup(0)
    readable, writable = os.pipe()
    os.dup2(readable, 0)
    os.close(readable)
    Thread(target=_watch, args=(ends_of_lease, writable), name="watchdog", daemon=True).start()


def _watch(ends_of_lease: int, input_of_ranks: int) -> None:
    end = clock.now() + FIRST_SECONDS
    while True:
        seconds_left = end - clock.now()
        # A process that did not run for a while may find the time over and a new line there.
        if select.select([ends_of_lease], [], [], min(max(seconds_left, 0), LOOK_SECONDS))[0]:
            lines = os.read(ends_of_lease, PIPE_BYTES).split()
            if not lines:  # closed, by the worker or its death
                os.close(input_of_ranks)
                return
            end = float(lines[-1])
        elif seconds_left <= 0:
            break
    for pid in (*descendants(os.getpid()), os.getpid()):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

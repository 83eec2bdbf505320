"""The watchdog in a trainer's parent process: it ends the trainer when the lease ends.

It works even if the worker is stopped. The worker writes each new end of the lease to the standard
input, one per line, as a time of `worker.attempt.clock`. All processes of a host share this clock.
"""

import os
import select
import signal
from contextlib import suppress
from threading import Thread

from worker.attempt import clock
from worker.launchers.process import descendants

FIRST_SECONDS = 10.0  # until the first line; the worker sends it right after the start
LOOK_SECONDS = 1.0  # short, because a wait does not count the time that the host sleeps
PIPE_BYTES = 1 << 16  # the capacity of a pipe: one read gets all waiting lines


def start_watchdog() -> None:
    """Start a thread that kills this process and its descendants when the lease ends.

    Child processes get a new standard input. It closes when ours closes or when this process dies.
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
        # Read first: after a pause of this process the time may be over, but a new line may wait.
        if select.select([ends_of_lease], [], [], min(max(seconds_left, 0), LOOK_SECONDS))[0]:
            lines = os.read(ends_of_lease, PIPE_BYTES).split()
            if not lines:  # the worker closed the pipe or died
                os.close(input_of_ranks)
                return
            end = float(lines[-1])
        elif seconds_left <= 0:
            break
    for pid in (*descendants(os.getpid()), os.getpid()):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

"""`python -m worker.launchers.ranks N PROGRAM`: N ranks of a program, with a watchdog of the lease.

It exits with the exit code or the signal of the failed rank. torchrun starts several ranks, so that
they find each other. Its own traceback is not printed, because the failed rank has already reported
its error. A single rank starts without torchrun, which takes seconds and 300 MB to load.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress

from worker.launchers.watchdog import start_watchdog


def run(num_processes: int, program: Sequence[str]) -> int:
    """Run `python PROGRAM` in each process. Return the exit code, or minus the signal."""
    return _run_torchrun(num_processes, program) if num_processes > 1 else _run_one(program)


def _run_one(program: Sequence[str]) -> int:
    process = subprocess.Popen([sys.executable, "-u", *program])
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda signum, _: process.send_signal(signum))
    return process.wait()


def _run_torchrun(num_processes: int, program: Sequence[str]) -> int:
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import main

    try:
        main(["--standalone", "--nproc-per-node", str(num_processes), *program])
    except ChildFailedError as error:
        exit_codes = {failure.exitcode for failure in error.failures.values()}
        exit_codes.discard(-signal.SIGTERM)  # torchrun sends it to the others when a rank fails
        # If a signal ended one rank, the others failed because they lost their connection to it.
        return min(exit_codes, default=-signal.SIGTERM)
    return 0


def end_like(exit_code: int) -> None:
    """Exit with an exit code, or by a signal if the code is negative."""
    if exit_code < 0:
        with suppress(OSError):  # SIGKILL has no handler
            signal.signal(-exit_code, signal.SIG_DFL)
        os.kill(os.getpid(), -exit_code)
    sys.exit(exit_code)


if __name__ == "__main__":
    start_watchdog()
    end_like(run(int(sys.argv[1]), sys.argv[2:]))

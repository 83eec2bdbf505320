"""`python -m worker.launchers.ranks`: torchrun with a watchdog of the lease.

It exits with the exit code or the signal of the failed rank. It does not print torchrun's own
traceback, because the failed rank has already reported its error.
"""

import os
import signal
import sys
from contextlib import suppress

from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import main

from worker.launchers.watchdog import start_watchdog


def end_like(exit_code: int) -> None:
    """Exit with an exit code, or by a signal if the code is negative."""
    if exit_code < 0:
        with suppress(OSError):  # SIGKILL has no handler
            signal.signal(-exit_code, signal.SIG_DFL)
        os.kill(os.getpid(), -exit_code)
    sys.exit(exit_code)


if __name__ == "__main__":
    start_watchdog()
    try:
        main()
    except ChildFailedError as error:
        exit_codes = {failure.exitcode for failure in error.failures.values()}
        exit_codes.discard(-signal.SIGTERM)  # torchrun sends it to the others when a rank fails
        # If a signal ended one rank, the others failed because they lost their connection to it.
        end_like(min(exit_codes, default=-signal.SIGTERM))

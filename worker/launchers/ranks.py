"""`python -m worker.launchers.ranks`: torchrun that ends with the lease, and as its ranks did.

A rank that fails has said why, so torchrun's own traceback is left out.
"""

import os
import signal
import sys
from contextlib import suppress

from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import main

from worker.launchers.watchdog import start_watchdog


def end_like(exit_code: int) -> None:
    """End with the exit code, or by the signal, that ended another process."""
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
        # A rank that a signal ended explains the others, which lost their connection to it.
        end_like(min(exit_codes, default=-signal.SIGTERM))

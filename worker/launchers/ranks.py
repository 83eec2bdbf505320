"""`python -m worker.launchers.ranks`: torchrun that ends with the lease, without its traceback.

A rank that fails has said why; torchrun names the rank in a line of its own.
"""

import sys

from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import main

from worker.launchers.watchdog import start_watchdog

if __name__ == "__main__":
    start_watchdog()
    try:
        main()
    except ChildFailedError:
        sys.exit(1)

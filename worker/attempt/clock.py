"""The clock of leases: like the database's, it goes on while this host sleeps."""

import time


def now() -> float:
    """Seconds since some moment, with those that the host slept."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()

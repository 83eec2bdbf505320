"""The clock of leases. Like the database's clock, it also counts while this host sleeps."""

import time


def now() -> float:
    """Return the seconds since a fixed moment, including the time that the host slept."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()

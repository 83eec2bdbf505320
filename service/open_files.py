"""The limit of open files of the process. Each connection, also of a stream, is an open file."""

import logging
import resource

logger = logging.getLogger(__name__)

WITHOUT_LIMIT = 10_240  # the soft limit to set where there is no hard limit: macOS refuses more


def raise_limit() -> int:
    """Raise the soft limit, which is often 1024, to the hard limit. Log and return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = wanted_of(soft, hard)
    if wanted != soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    logger.info("may have %d files open, of which each listener of a stream is one", wanted)
    return wanted


def wanted_of(soft: int, hard: int) -> int:
    """Return the soft limit to set. If there is no soft limit (-1), keep it so."""
    if resource.RLIM_INFINITY not in (soft, hard):
        return hard
    return soft if soft == resource.RLIM_INFINITY else max(soft, WITHOUT_LIMIT)

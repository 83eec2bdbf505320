"""How many files a process may have open: each connection is one, and so each listener."""

import logging
import resource

logger = logging.getLogger(__name__)

WITHOUT_LIMIT = 10_240  # asked for where the hard limit is none: macOS refuses more


def raise_limit() -> int:
    """Raise the soft limit, which is often 1024, to the hard one; log it, and return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = wanted_of(soft, hard)
    if wanted != soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    logger.info("may have %d files open, of which each listener of a stream is one", wanted)
    return wanted


def wanted_of(soft: int, hard: int) -> int:
    """The soft limit to have. No limit, which is written -1, stays none."""
    if resource.RLIM_INFINITY not in (soft, hard):
        return hard
    return soft if soft == resource.RLIM_INFINITY else max(soft, WITHOUT_LIMIT)

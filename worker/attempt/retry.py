"""Retries after errors of the database and the storage, while the attempt holds its lease."""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.exc import SQLAlchemyError

from jobs.backoff import Backoff
from jobs.errors import StorageRefused
from jobs.outages import OUTAGES
from worker.attempt.lease import Lease

logger = logging.getLogger(__name__)

# These are more than outages: an unknown error must not cost a trained model.
RETRIED = (*OUTAGES, SQLAlchemyError, OSError)
BACKOFF = Backoff(first=0.5, longest=30.0)

Result = TypeVar("Result")


def retry_while_leased(action: Callable[[], Result], *, lease: Lease, seconds: float) -> Result:
    """Call `action` until it succeeds, and return its result.

    Raise the last error after `seconds`, and `LeaseLost` as soon as the lease is lost. Do not retry
    when a file is missing or the storage refuses access: neither is an outage.
    """
    give_up_at = time.monotonic() + seconds
    failures = 0
    while True:
        lease.check()
        try:
            return action()
        except (FileNotFoundError, StorageRefused):
            raise
        except RETRIED as error:
            failures += 1
            pause = BACKOFF.wait(failures)
            if time.monotonic() + pause > give_up_at:
                raise
            logger.warning("job %s: %s; trying again in %.1f s", lease.job_id, error, pause)
        time.sleep(pause)

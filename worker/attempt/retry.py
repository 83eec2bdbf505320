"""What the database and the storage fail at is tried again, as long as the job is ours."""

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

# More than outages: a model that is trained is not given up for an error that nobody knows.
RETRIED = (*OUTAGES, SQLAlchemyError, OSError)
BACKOFF = Backoff(first=0.5, longest=30.0)

Result = TypeVar("Result")


def retry_while_leased(action: Callable[[], Result], *, lease: Lease, seconds: float) -> Result:
    """Try until it works. After `seconds` raise what went wrong; `LeaseLost` as soon as it is.

    A file that is not there is an answer, not an outage, and so is a refusal.
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

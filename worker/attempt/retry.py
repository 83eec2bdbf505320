"""What the database and the storage fail at is tried again, as long as the job is ours."""

import logging
import random
import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.exc import SQLAlchemyError

from jobs.errors import StorageRefused
from jobs.outages import OUTAGES
from worker.attempt.lease import Lease

logger = logging.getLogger(__name__)

# More than outages: a model that is trained is not given up for an error that nobody knows.
RETRIED = (*OUTAGES, SQLAlchemyError, OSError)
FIRST_PAUSE = 0.5  # seconds; doubled after each try
LONGEST_PAUSE = 30.0

Result = TypeVar("Result")


def retry_while_leased(action: Callable[[], Result], *, lease: Lease, seconds: float) -> Result:
    """Try until it works. After `seconds` raise what went wrong; `LeaseLost` as soon as it is.

    A file that is not there is an answer, not an outage, and so is a refusal.
    """
    give_up_at = time.monotonic() + seconds
    pause = FIRST_PAUSE
    while True:
        lease.check()
        try:
            return action()
        except (FileNotFoundError, StorageRefused):
            raise
        except RETRIED as error:
            if time.monotonic() + pause > give_up_at:
                raise
            logger.warning("job %s: %s; trying again in %.1f s", lease.job_id, error, pause)
        time.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 # so that not all come back at once
        pause = min(2 * pause, LONGEST_PAUSE)

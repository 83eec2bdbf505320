"""Logging of failures in periodic tasks.

An outage of another server ends by itself, so a periodic task logs one line and goes on. It also
goes on after any other error. But such an error is a bug, so its traceback is logged.
"""

import logging
from collections.abc import Callable

from redis import RedisError
from sqlalchemy import exc

from jobs.errors import QueueUnavailable, StorageError

# The pool has no free connection, a connection failed, or the server stops or cannot write now.
DATABASE_OUTAGES = (
    exc.TimeoutError,
    exc.InterfaceError,
    exc.OperationalError,
    exc.InternalError,
)
OUTAGES = (*DATABASE_OUTAGES, QueueUnavailable, RedisError, StorageError)


def log_failure(logger: logging.Logger, task: str, error: Exception) -> None:
    """Log that a task such as "send jobs to the workers" failed."""
    if isinstance(error, OUTAGES):
        logger.warning("cannot %s: %s", task, _first_line(error))
    else:
        logger.error("cannot %s", task, exc_info=error)


class FailureLog:
    """Logs the failures of a periodic task.

    It logs when a failure begins and when it ends, not each time. All outages count as the same
    failure.
    """

    def __init__(self, logger: logging.Logger, task: str) -> None:
        self._logger = logger
        self._task = task
        self._failure = ""

    def guard(self, work: Callable[[], object]) -> bool:
        """Do the work and return whether it succeeded. Any error is logged, and none is raised."""
        try:
            work()
        except Exception as error:
            self.failed(error)
            return False
        self.succeeded()
        return True

    def failed(self, error: Exception) -> None:
        failure = "outage" if isinstance(error, OUTAGES) else repr(error)
        if failure != self._failure:
            log_failure(self._logger, self._task, error)
        self._failure = failure

    def succeeded(self) -> None:
        if self._failure:
            self._logger.info("can %s again", self._task)
        self._failure = ""


def _first_line(error: Exception) -> str:
    """Return the message without the statement and the parameters that SQLAlchemy adds."""
    return str(error).partition("\n")[0]

"""What people are told of an error, whatever raised it."""

from sqlalchemy.exc import SQLAlchemyError

from jobs.errors import JobsError
from relora_core.errors import TrainError
from relora_core.errors.failures import summary


def told(error: BaseException) -> str:
    """The text of our own errors and of the file system's; of all others the class.

    A library's text may quote a server's answer, or the statement that a database refused. The
    worker's log has it.
    """
    if isinstance(error, JobsError | TrainError) or (isinstance(error, OSError) and error.strerror):
        return str(error)
    if isinstance(error, SQLAlchemyError):
        return f"the database failed ({type(error).__name__})"
    return summary(error)

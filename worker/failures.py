"""The text about an error that users see."""

from sqlalchemy.exc import SQLAlchemyError

from jobs.errors import JobsError
from relora_core.errors import TrainError
from relora_core.errors.failures import summary


def told(error: BaseException) -> str:
    """Return the text about an error that users may see.

    Return the whole message of relora's own errors and of file system errors. Return only the class
    of other errors: a library's message may quote a server's response, or the SQL statement that
    the database refused. The worker's log has the full message.
    """
    if isinstance(error, JobsError | TrainError) or (isinstance(error, OSError) and error.strerror):
        return str(error)
    if isinstance(error, SQLAlchemyError):
        return f"the database failed ({type(error).__name__})"
    return summary(error)

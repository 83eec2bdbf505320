"""The errors that the API answers with a status and a code of their own."""

from collections.abc import Iterator

import service.app  # noqa: F401 -- it defines the errors of the service
from jobs.errors import JobsError


def all_errors(base: type[JobsError] = JobsError) -> Iterator[type[JobsError]]:
    for error in base.__subclasses__():
        yield error
        yield from all_errors(error)


ANSWERED = [error for error in all_errors() if "code" in vars(error)]

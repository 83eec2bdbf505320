"""The JSON body of a request, parsed outside of the event loop.

It is refused if the service could not store it and return it exactly as it was sent.
"""

import json

from fastapi import HTTPException, Request
from fastapi.concurrency import run_in_threadpool

from relora_core.spec import SpecConflict, check_written
from relora_core.spec.error_messages import FieldError
from relora_core.spec.written import TOO_DEEP

_MAX_DIGITS = 400  # Python is slow to read more digits, and no field allows so large a number


class BodyRefused(HTTPException):
    """The body is JSON, but it has values that cannot be stored as they were sent."""

    def __init__(self, problem: FieldError) -> None:
        super().__init__(422)
        self.problem = problem


class JsonRequest(Request):
    """A request whose JSON body is parsed in a thread.

    FastAPI validates the document in the event loop. Bodies are so small that this takes almost
    no time.
    """

    async def json(self) -> object:
        body = await self.body()
        return await run_in_threadpool(read_document, body)


def read_document(body: bytes) -> object:
    """Parse a body as JSON.

    Raise `json.JSONDecodeError` if it is not JSON, and `BodyRefused` if it cannot be stored as
    it was sent.
    """
    try:
        document = json.loads(body.decode("utf-8-sig"), parse_int=_whole)
        check_written(document)
    except UnicodeDecodeError as error:
        raise json.JSONDecodeError("It is not UTF-8", "", error.start) from None
    except RecursionError:
        raise BodyRefused(FieldError(path="", message=TOO_DEEP)) from None
    except SpecConflict as conflict:
        raise BodyRefused(FieldError(path=conflict.path, message=str(conflict))) from None
    return document


def _whole(digits: str) -> int:
    return int(digits[:_MAX_DIGITS])

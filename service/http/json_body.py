"""The JSON body of a request: read outside of the event loop, and refused if it could not be
stored and answered as it was sent.
"""

import json

from fastapi import HTTPException, Request
from fastapi.concurrency import run_in_threadpool

from relora_core.spec import SpecConflict, check_written
from relora_core.spec.error_messages import Problem
from relora_core.spec.written import TOO_DEEP

_MAX_DIGITS = 400  # more are above every bound, too, and Python is slow to read them


class BodyRefused(HTTPException):
    """A body that is JSON, with values that cannot be stored as they were sent."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(422)
        self.problem = problem


class JsonRequest(Request):
    """A request whose JSON body takes no time of the event loop. What it holds is so little that
    the framework, which validates it in the event loop, is done at once."""

    async def json(self) -> object:
        body = await self.body()
        return await run_in_threadpool(read_document, body)


def read_document(body: bytes) -> object:
    """Raises `json.JSONDecodeError` for what is not JSON, and `BodyRefused`."""
    try:
        document = json.loads(body.decode("utf-8-sig"), parse_int=_whole)
        check_written(document)
    except UnicodeDecodeError as error:
        raise json.JSONDecodeError("It is not UTF-8", "", error.start) from None
    except RecursionError:
        raise BodyRefused(Problem(path="", message=TOO_DEEP)) from None
    except SpecConflict as conflict:
        raise BodyRefused(Problem(path=conflict.path, message=str(conflict))) from None
    return document


def _whole(digits: str) -> int:
    return int(digits[:_MAX_DIGITS])

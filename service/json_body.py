"""The JSON body of a request: read outside of the event loop, and refused if it could not be
stored and answered as it was sent.
"""

import json
import math
from collections.abc import Iterator
from itertools import islice

from fastapi import HTTPException, Request
from fastapi.concurrency import run_in_threadpool

from relora_core.problems import Problem

MAX_DEPTH = 64  # pydantic writes no document that is four times as deep
MAX_DIGITS = 400  # a longer number is above every bound, and Python is slow to read it
SMALLEST, LARGEST = -(2**63), 2**64 - 1  # what 64 bits hold
SHOWN_PROBLEMS = 20

Path = tuple[str | int, ...]


class BodyRefused(HTTPException):
    """A body that is JSON, with values that cannot be stored as they were sent."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__(422)
        self.problems = problems


class JsonRequest(Request):
    """A request whose JSON body takes no time of the event loop, and holds only what every reader
    of JSON can hold."""

    async def json(self) -> object:
        body = await self.body()
        return await run_in_threadpool(read_document, body)


def read_document(body: bytes) -> object:
    """Raises `json.JSONDecodeError` for what is not JSON, and `BodyRefused`."""
    try:
        document = json.loads(body.decode("utf-8-sig"), parse_int=_whole)
    except UnicodeDecodeError as error:
        raise json.JSONDecodeError("It is not UTF-8", "", error.start) from None
    except RecursionError:
        raise BodyRefused([Problem(path="", message=_TOO_DEEP)]) from None
    if problems := list(islice(_problems(document), SHOWN_PROBLEMS)):
        raise BodyRefused(problems)
    return document


_TOO_DEEP = f"is nested more than {MAX_DEPTH} levels deep"


def _whole(digits: str) -> float:
    return int(digits) if len(digits) <= MAX_DIGITS else math.inf


def _problems(document: object) -> Iterator[Problem]:
    waiting: list[tuple[Path, object]] = [((), document)]
    while waiting:
        path, value = waiting.pop()
        if (message := _refusal(path, value)) is not None:
            yield Problem(path=".".join(map(str, path)), message=message)
        elif isinstance(value, dict):
            yield from _unreadable_keys(path, value)
            waiting += (((*path, key), below) for key, below in value.items())
        elif isinstance(value, list):
            waiting += (((*path, place), below) for place, below in enumerate(value))


def _refusal(path: Path, value: object) -> str | None:
    match value:
        case dict() | list() if len(path) >= MAX_DEPTH:
            return _TOO_DEEP
        case str() if not _is_unicode(value):
            return "is not valid Unicode: it has half of a surrogate pair"
        case float() if not math.isfinite(value):
            return "must be a finite number, and not too large"
        case int() if not SMALLEST <= value <= LARGEST:
            return "is a whole number of more than 64 bits"
        case _:
            return None


def _unreadable_keys(path: Path, value: dict[str, object]) -> Iterator[Problem]:
    for key in value:
        if not _is_unicode(key):
            message = "is a name that is not valid Unicode: it has half of a surrogate pair"
            yield Problem(path=".".join(map(str, (*path, key))), message=message)


def _is_unicode(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)

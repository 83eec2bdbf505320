"""The log messages of a periodic task that fails."""

import logging
from collections.abc import Callable
from typing import NoReturn

import pytest
from redis import ConnectionError as RedisConnectionError
from sqlalchemy import exc

from jobs.errors import QueueUnavailable, StorageError
from jobs.outages import FailureLog

logger = logging.getLogger(__name__)
QUERY: tuple[str, dict[str, object], Exception] = ("SELECT secret", {}, OSError("away\nmore"))
OUTAGES = [
    exc.OperationalError(*QUERY),
    exc.InterfaceError(*QUERY),
    exc.InternalError(*QUERY),
    exc.TimeoutError("away\nmore"),
    QueueUnavailable("away\nmore"),
    RedisConnectionError("away\nmore"),
    StorageError("away\nmore"),
]
FAULTS = [
    ValueError("nobody thought of this"),
    KeyError("nobody thought of this"),
    exc.ProgrammingError("SELECT", {}, Exception("nobody thought of this")),
]


def failing(error: Exception) -> Callable[[], NoReturn]:
    def fail() -> NoReturn:
        raise error

    return fail


@pytest.fixture
def failures(caplog: pytest.LogCaptureFixture) -> FailureLog:
    caplog.set_level(logging.INFO)
    return FailureLog(logger, "do the work")


@pytest.mark.parametrize("error", OUTAGES, ids=lambda error: type(error).__name__)
def test_an_outage_is_one_line(
    failures: FailureLog, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    assert not failures.guard(failing(error))
    (line,) = caplog.records
    assert line.getMessage().startswith("cannot do the work: ")
    assert line.getMessage().endswith("away")
    assert (line.levelname, line.exc_info) == ("WARNING", None)


@pytest.mark.parametrize("error", FAULTS, ids=lambda error: type(error).__name__)
def test_any_other_error_has_its_traceback(
    failures: FailureLog, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    assert not failures.guard(failing(error))
    (line,) = caplog.records
    assert (line.getMessage(), line.levelname) == ("cannot do the work", "ERROR")
    assert line.exc_info is not None
    assert line.exc_info[1] is error


def test_what_goes_on_failing_is_logged_when_it_begins_and_when_it_ends(
    failures: FailureLog, caplog: pytest.LogCaptureFixture
) -> None:
    rounds = [*OUTAGES, *[ValueError("nobody thought of this")] * 2, *OUTAGES]
    assert not any(failures.guard(failing(error)) for error in rounds)
    assert failures.guard(lambda: None)
    assert failures.guard(lambda: None)
    assert [(line.levelname, line.getMessage().partition(":")[0]) for line in caplog.records] == [
        ("WARNING", "cannot do the work"),
        ("ERROR", "cannot do the work"),
        ("WARNING", "cannot do the work"),
        ("INFO", "can do the work again"),
    ]

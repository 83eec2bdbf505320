"""The lines that a process logs."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from jobs.logs import JsonLines, log_to_stderr, working_for
from jobs.settings import Settings


@contextmanager
def without_pytest() -> Iterator[None]:
    """Take away the handlers that pytest gives the root logger, inside the block."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers.clear()
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


def line_of(message: str, *arguments: object, **options: object) -> dict[str, object]:
    record = logging.LogRecord("worker.run", logging.WARNING, "", 1, message, arguments, None)
    vars(record).update(options)
    line: dict[str, object] = json.loads(JsonLines().format(record))
    return line


def test_a_line_is_an_object_with_the_message() -> None:
    line = line_of("%d of\n%s", 2, "three", created=0.0)
    assert line == {
        "time": "1970-01-01T00:00:00+00:00",
        "level": "warning",
        "logger": "worker.run",
        "message": "2 of\nthree",
    }


def test_a_traceback_is_part_of_the_line() -> None:
    error = ValueError("wrong")
    line = line_of("failed", exc_info=(ValueError, error, None))
    assert line["error"] == "ValueError: wrong"


def test_a_line_names_the_job_that_the_process_works_for() -> None:
    with working_for(job_id="job_1", attempt=2):
        line = line_of("saved")
    assert (line["job_id"], line["attempt"]) == ("job_1", 2)
    assert "job_id" not in line_of("idle")


def test_lines_are_text_unless_the_settings_say_json(capsys: pytest.CaptureFixture[str]) -> None:
    with without_pytest():
        log_to_stderr(Settings())
        logging.getLogger("jobs").info("hello")
    assert capsys.readouterr().err.endswith(" INFO jobs hello\n")


def test_lines_are_json_if_the_settings_say_so(capsys: pytest.CaptureFixture[str]) -> None:
    with without_pytest():
        log_to_stderr(Settings(log_format="json"))
        logging.getLogger("jobs").info("hello")
    assert json.loads(capsys.readouterr().err)["message"] == "hello"

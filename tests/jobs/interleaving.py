"""Transactions on several connections, advanced one statement at a time in the order of the test.

Each operation has its own thread and its own connection, but only one thread runs at a time, until
its next statement. So the test alone decides the order, and a failure can be reproduced. If a
statement would wait for a lock of another operation, the database refuses it at once. Then the
operation starts again at its next turn, as the service does after an outage.
"""

import threading
from collections.abc import Callable
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.exc import OperationalError

_current = threading.local()
_MAX_TURNS = 10_000


class Operation:
    """Work on a database that has started and may not be done yet."""

    def __init__(self, work: Callable[[], object]) -> None:
        self.result: object = None
        self.error: BaseException | None = None
        self.done = False
        self._work = work
        self._mine, self._theirs = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def advance(self) -> None:
        """Let the operation run until just before its next statement, or to its end."""
        self._mine.release()
        self._theirs.acquire()

    def finish(self) -> None:
        for _ in range(_MAX_TURNS):
            if self.done:
                return
            self.advance()
        raise AssertionError("the operation never ends: who holds its lock?")

    def pause(self) -> None:
        """Let the test go on, and wait for the next turn of this operation."""
        self._theirs.release()
        self._mine.acquire()

    def _run(self) -> None:
        _current.operation = self
        self._mine.acquire()
        while not self.done:
            try:
                self.result = self._work()
                self.done = True
            except OperationalError as error:
                if not _is_lock(error):
                    self.error, self.done = error, True
                else:
                    self.pause()
            except BaseException as error:  # the test checks it
                self.error, self.done = error, True
        self._theirs.release()


def interleave(engine: Engine) -> None:
    """Make operations on the engine pause before each statement and each commit."""
    event.listen(engine, "connect", _never_wait)
    event.listen(engine, "before_cursor_execute", _pause)
    event.listen(engine, "commit", _pause)


def _pause(*_: Any) -> None:
    operation: Operation | None = getattr(_current, "operation", None)
    if operation is not None:
        operation.pause()


def _never_wait(connection: Any, _entry: object) -> None:
    if type(connection).__module__.startswith("sqlite3"):
        connection.execute("PRAGMA busy_timeout=0")
    else:
        connection.execute("SET lock_timeout = '1ms'")
        connection.commit()


def _is_lock(error: OperationalError) -> bool:
    return "locked" in str(error) or "lock timeout" in str(error)

"""Transactions on several connections, advanced one statement at a time, in an order of the test.

Each operation has a thread and a connection of its own, but only one thread ever runs: it holds
the baton until its next statement. So the order is the test's alone, and a failure replays. A
statement that would wait for another operation's lock is refused by the database at once; the
operation starts again with its next turn, as the product's does after an outage.
"""

import threading
from collections.abc import Callable
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.exc import OperationalError

_current = threading.local()
_MAX_TURNS = 10_000


class Operation:
    """Some work on a database that is under way."""

    def __init__(self, work: Callable[[], object]) -> None:
        self.result: object = None
        self.error: BaseException | None = None
        self.done = False
        self._work = work
        self._mine, self._theirs = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def advance(self) -> None:
        """Let it run to just before its next statement, or to its end."""
        self._mine.release()
        self._theirs.acquire()

    def finish(self) -> None:
        for _ in range(_MAX_TURNS):
            if self.done:
                return
            self.advance()
        raise AssertionError("the operation never ends: who holds its lock?")

    def pause(self) -> None:
        """Give the baton back until the next turn."""
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
            except BaseException as error:  # the test looks at it
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

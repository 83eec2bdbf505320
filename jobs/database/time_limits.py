"""Time limits of PostgreSQL connections: a silent server causes an error like one that is down.

The server ends a statement by `statement_timeout`. But the server or the network may also stop
answering forever. So the client has a time limit too, and closes the connection.
"""

from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from sqlalchemy import Dialect, Engine, event
from sqlalchemy.pool import ConnectionPoolEntry

STATEMENT_SECONDS = 10.0
CONNECT_SECONDS = 5
_GRACE_SECONDS = 1.0  # the server gets this time to report its own timeout
_IDLE_SECONDS = 30  # a client that hangs within a transaction must not keep its locks

# The limits of the kernel, for a network that drops packets.
CONNECTION = {
    "connect_timeout": CONNECT_SECONDS,
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,  # milliseconds
}

Value = TypeVar("Value")


class TimedConnection(psycopg.Connection[Any]):
    """A connection that closes itself if the server does not answer in time."""

    seconds: float | None = None

    def wait(self, gen: PQGen[Value], interval: float = 0.1, timeout: float | None = None) -> Value:
        if timeout is not None:
            return super().wait(gen, interval, timeout)
        try:
            return super().wait(gen, interval, self.seconds)
        except psycopg.errors._WaitTimeout as error:  # the class has no public name
            self.pgconn.finish()
            message = f"the server did not answer within {self.seconds:g} s"
            raise psycopg.OperationalError(message) from error


def limit_statements(engine: Engine, seconds: float) -> None:
    """Let each statement of the engine's connections fail after `seconds`."""

    def connect(
        _dialect: Dialect, _entry: ConnectionPoolEntry, args: list[Any], options: dict[str, Any]
    ) -> TimedConnection:
        connection = TimedConnection.connect(*args, **options)
        connection.seconds = seconds + _GRACE_SECONDS
        with connection.transaction():
            connection.execute(f"SET statement_timeout = {int(seconds * 1000)}")
            connection.execute(f"SET idle_in_transaction_session_timeout = '{_IDLE_SECONDS}s'")
        return connection

    event.listen(engine, "do_connect", connect)

"""Time limits of PostgreSQL connections: a server that says nothing fails like one that is down.

A statement ends at the server by `statement_timeout`. The server, or the network before it, may
also be silent for ever; so the client counts, too, and closes the connection.
"""

from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from sqlalchemy import Dialect, Engine, event
from sqlalchemy.pool import ConnectionPoolEntry

STATEMENT_SECONDS = 10.0
CONNECT_SECONDS = 5
_GRACE_SECONDS = 1.0  # for the server's own answer that the time is over
_IDLE_SECONDS = 30  # a client that stops within a transaction must not hold its locks

# The kernel's limits, for a network that swallows packets.
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
    """Closes itself when the server has not answered in time."""

    seconds: float | None = None

    def wait(self, gen: PQGen[Value], interval: float = 0.1, timeout: float | None = None) -> Value:
        if timeout is not None:
            return super().wait(gen, interval, timeout)
        try:
            return super().wait(gen, interval, self.seconds)
        except psycopg.errors._WaitTimeout as error:  # has no public name
            self.pgconn.finish()
            message = f"the server did not answer within {self.seconds:g} s"
            raise psycopg.OperationalError(message) from error


def limit_statements(engine: Engine, seconds: float) -> None:
    """Let each statement of the engine's connections fail after so long."""

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

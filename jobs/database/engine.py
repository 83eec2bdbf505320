"""The database engine for SQLite and PostgreSQL: connections, transactions, the clock."""

import time
from pathlib import Path
from sqlite3 import Connection as SQLiteConnection
from sqlite3 import OperationalError
from typing import Any

from sqlalchemy import Connection, Engine, Float, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from jobs.database.time_limits import (
    CONNECTION,
    STATEMENT_SECONDS,
    limit_statements,
)

# How long SQLite waits for a write of another process.
_BUSY_TIMEOUT_MS = 10_000
READ_ONLY = {"relora_read_only": True}  # the execution option of read-only transactions


class database_now(FunctionElement[float]):  # noqa: N801 # an SQL function, named like one
    """Seconds since 1970 by the clock of the database, which all processes share."""

    type = Float()
    inherit_cache = True


@compiles(database_now, "sqlite")
def _sqlite_now(_element: database_now, _compiler: SQLCompiler, **_: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(database_now, "postgresql")
def _postgresql_now(_element: database_now, _compiler: SQLCompiler, **_: Any) -> str:
    return "extract(epoch FROM clock_timestamp())::float8"


def open_engine(
    database_url: str, *, statement_seconds: float | None = STATEMENT_SECONDS
) -> Engine:
    """Open the engine of a SQLite or PostgreSQL database. Do not connect yet.

    On PostgreSQL a statement that takes longer than `statement_seconds` fails; None means no
    limit. Raise `ValueError` for a URL of another kind of database.
    """
    url = make_url(database_url)
    match url.get_backend_name():
        case "sqlite":
            return _open_sqlite(url)
        case "postgresql" | "postgres":
            return _open_postgresql(url, statement_seconds)
        case other:
            raise ValueError(f"no store on {other!r}; use postgresql:// or sqlite:///")


def _open_postgresql(url: URL, statement_seconds: float | None) -> Engine:
    engine = create_engine(
        url.set(drivername="postgresql+psycopg"),
        pool_pre_ping=True,  # no request fails because the database was restarted
        pool_timeout=STATEMENT_SECONDS,  # the longest that another thread keeps a connection busy
        connect_args=CONNECTION,
    )
    if statement_seconds is not None:
        limit_statements(engine, statement_seconds)
    return engine


def _open_sqlite(url: URL) -> Engine:
    if url.database:
        Path(url.database).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    engine = create_engine(url)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: SQLiteConnection, _entry: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # transactions begin in `_begin_sqlite`, not in the driver
    for pragma in (f"busy_timeout={_BUSY_TIMEOUT_MS}", "synchronous=NORMAL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")
    _use_write_ahead_log(connection)


def _use_write_ahead_log(connection: SQLiteConnection) -> None:
    """Switch the database file to the write-ahead log, and retry while it is locked.

    The first connection to a new file switches it. Meanwhile SQLite refuses a second connection
    at once instead of letting it wait.
    """
    deadline = time.monotonic() + _BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
    """Begin a transaction. A writer takes the write lock at once.

    In SQLite a transaction that reads first cannot wait for the write lock later.
    """
    reads = connection.get_execution_options().get("relora_read_only", False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

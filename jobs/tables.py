"""The store's tables.

Leases and rings are in seconds of the database's clock (`database.database_now`); what a
person reads is a UTC time. Documents are JSON text as pydantic writes and reads it, so that
they are valid JSON even where a float is not finite.
"""

from datetime import UTC, datetime
from enum import StrEnum

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Dialect,
    Enum,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)

from jobs.status import JobStatus, Wish


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC time, on SQLite too, which stores none."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None or dialect.name != "sqlite":
            return value
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _words(values: type[StrEnum]) -> Enum:
    """A column of plain words: a new status needs no change of the database."""
    return Enum(
        values,
        native_enum=False,
        length=16,
        values_callable=lambda members: [member.value for member in members],
    )


# Sorted by byte, as Python and S3 sort, whatever the database's language.
Key = String().with_variant(String(collation="C"), "postgresql")
# SQLite numbers rows by itself only in a column of its own integer type.
RowId = BigInteger().with_variant(Integer, "sqlite")

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", Key, primary_key=True),
    Column("status", _words(JobStatus), nullable=False),
    Column("wish", _words(Wish)),
    Column("attempt", Integer, nullable=False),
    Column("failed_attempts", Integer, nullable=False),
    Column("max_attempts", Integer, nullable=False),
    Column("worker", String),
    Column("spec", Text, nullable=False),
    Column("progress", Text, nullable=False),
    Column("error", Text),
    Column("last_event", BigInteger, nullable=False),
    Column("lease_until", Float(53)),
    Column("rung_at", Float(53), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("started_at", UtcDateTime),
    Column("finished_at", UtcDateTime),
    Column("updated_at", UtcDateTime, nullable=False),
    Index(None, "status", "lease_until"),
)

events = Table(
    "events",
    metadata,
    Column("job_id", Key, ForeignKey("jobs.id"), primary_key=True),
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("attempt", Integer, nullable=False),
    Column("line", BigInteger),
    Column("type", String, nullable=False),
    Column("body", Text, nullable=False),
    UniqueConstraint("job_id", "attempt", "line"),
)

artifacts = Table(
    "artifacts",
    metadata,
    Column("job_id", Key, ForeignKey("jobs.id"), primary_key=True),
    Column("path", Key, primary_key=True),
    Column("kind", String, nullable=False),
    Column("step", BigInteger),
    Column("size", BigInteger, nullable=False),
    Column("sha256", String, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

# Messages to send: written in the transaction that queues a job, deleted when they are sent.
outbox = Table(
    "outbox",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("job_id", Key, ForeignKey("jobs.id"), nullable=False, index=True),
    sqlite_autoincrement=True,  # or the number of a sent message would be given again
)

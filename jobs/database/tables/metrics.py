"""The tables of metrics. If a run repeats steps, their old values are deleted."""

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    ForeignKey,
    Integer,
    SmallInteger,
    String,
    Table,
    UniqueConstraint,
)

from jobs.database.columns import BytewiseString, RowId, metadata, string_enum
from jobs.schemas.metrics import MarkerKind

curves = Table(
    "metric_curves",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("job_id", BytewiseString, ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
    Column("name", String, nullable=False),
    Column("length", BigInteger, nullable=False),
    Column("last_step", BigInteger, nullable=False),
    UniqueConstraint("job_id", "name"),
)


def _of_a_curve() -> Column[int]:
    return Column("curve_id", RowId, ForeignKey(curves.c.id, ondelete="CASCADE"), primary_key=True)


def _number() -> Column[int]:
    return Column("number", BigInteger, primary_key=True, autoincrement=False)


# Points and buckets are read by ranges of their key, so SQLite stores them in that order.
points = Table(
    "metric_points",
    metadata,
    _of_a_curve(),
    _number(),
    Column("step", BigInteger, nullable=False),
    Column("value", Float(53)),
    UniqueConstraint("curve_id", "step"),
    sqlite_with_rowid=False,
)

buckets = Table(
    "metric_buckets",
    metadata,
    _of_a_curve(),
    Column("level", SmallInteger, primary_key=True, autoincrement=False),
    _number(),
    Column("first_step", BigInteger, nullable=False),
    Column("first", Float(53)),
    Column("last_step", BigInteger, nullable=False),
    Column("last", Float(53)),
    Column("low_step", BigInteger),
    Column("low", Float(53)),
    Column("high_step", BigInteger),
    Column("high", Float(53)),
    Column("gap_step", BigInteger),
    Column("num_finite", BigInteger, nullable=False),
    Column("total", Float(53), nullable=False),
    sqlite_with_rowid=False,
)

markers = Table(
    "metric_markers",
    metadata,
    Column("job_id", BytewiseString, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("event", BigInteger, primary_key=True, autoincrement=False),
    Column("step", BigInteger, nullable=False),
    Column("kind", string_enum(MarkerKind), nullable=False),
    Column("attempt", Integer, nullable=False),
)

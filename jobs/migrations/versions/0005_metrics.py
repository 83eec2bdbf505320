"""Metrics: curves with their points and buckets, and markers. Jobs from before have none."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0005"
down_revision: str | None = "0004"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_KEY = sa.String().with_variant(sa.String(collation="C"), "postgresql")
_ROW_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "metric_curves",
        sa.Column("id", _ROW_ID, primary_key=True),
        sa.Column("job_id", _KEY, sa.ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("length", sa.BigInteger, nullable=False),
        sa.Column("last_step", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("job_id", "name"),
    )
    op.create_table(
        "metric_points",
        _curve(),
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("step", sa.BigInteger, nullable=False),
        sa.Column("value", sa.Float(53)),
        sa.UniqueConstraint("curve_id", "step"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "metric_buckets",
        _curve(),
        sa.Column("level", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("first_step", sa.BigInteger, nullable=False),
        sa.Column("first", sa.Float(53)),
        sa.Column("last_step", sa.BigInteger, nullable=False),
        sa.Column("last", sa.Float(53)),
        sa.Column("low_step", sa.BigInteger),
        sa.Column("low", sa.Float(53)),
        sa.Column("high_step", sa.BigInteger),
        sa.Column("high", sa.Float(53)),
        sa.Column("gap_step", sa.BigInteger),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "metric_markers",
        sa.Column("job_id", _KEY, sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("event", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("step", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
    )


def _curve() -> sa.Column[int]:
    reference = sa.ForeignKey("metric_curves.id", ondelete="CASCADE")
    return sa.Column("curve_id", _ROW_ID, reference, primary_key=True)


def downgrade() -> None:
    for table in ("metric_markers", "metric_buckets", "metric_points", "metric_curves"):
        op.drop_table(table)

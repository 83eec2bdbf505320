"""Count and total of the finite values in each bucket of a curve, so that its means are true."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0028"
down_revision: str | None = "0027"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_FANOUT = 4
_points = sa.table("metric_points", *map(sa.column, ("curve_id", "number", "value")))
_buckets = sa.table(
    "metric_buckets", *map(sa.column, ("curve_id", "level", "number", "num_finite", "total"))
)


def upgrade() -> None:
    op.add_column(
        "metric_buckets",
        sa.Column("num_finite", sa.BigInteger, nullable=False, server_default="0"),
    )
    op.add_column(
        "metric_buckets", sa.Column("total", sa.Float(53), nullable=False, server_default="0")
    )
    _fill(1, _points, sa.func.count(_points.c.value), sa.func.sum(_points.c.value))
    finer = _buckets.alias("finer")
    highest = op.get_bind().scalar(sa.select(sa.func.max(_buckets.c.level))) or 0
    for level in range(2, highest + 1):
        below = finer.c.level == level - 1
        counted, summed = sa.func.sum(finer.c.num_finite), sa.func.sum(finer.c.total)
        _fill(level, finer, counted, summed, below)


def _fill(
    level: int,
    parts: sa.FromClause,
    counted: sa.ColumnElement[int],
    summed: sa.ColumnElement[float],
    *which: sa.ColumnElement[bool],
) -> None:
    """Fill the buckets of a level from the points or buckets that they are made of."""
    first = _buckets.c.number * _FANOUT
    inside = sa.and_(
        parts.c.curve_id == _buckets.c.curve_id,
        parts.c.number >= first,
        parts.c.number < first + _FANOUT,
        *which,
    )
    of_parts = (
        sa.select(value).where(inside).correlate(_buckets).scalar_subquery()
        for value in (counted, sa.func.coalesce(summed, 0))
    )
    values = dict(zip(("num_finite", "total"), of_parts, strict=True))
    op.execute(sa.update(_buckets).where(_buckets.c.level == level).values(values))


def downgrade() -> None:
    op.drop_column("metric_buckets", "total")
    op.drop_column("metric_buckets", "num_finite")

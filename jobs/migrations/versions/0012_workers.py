"""The workers there are."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from jobs.database.columns import UtcDateTime

revision: str = "0012"
down_revision: str | None = "0011"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_KEY = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "workers",
        sa.Column("name", _KEY, primary_key=True),
        sa.Column("host", sa.String, nullable=False),
        sa.Column("version", sa.String, nullable=False),
        sa.Column("gpus", sa.Text, nullable=False),
        sa.Column("beat_at", sa.Float(53), nullable=False),
        sa.Column("started_at", UtcDateTime, nullable=False),
        sa.Column("last_heartbeat", UtcDateTime, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("workers")

"""The GPU seconds of jobs, and those that a project's deleted jobs had."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0033"
down_revision: str | None = "0032"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("held_gpus", sa.Integer, nullable=False, server_default="0"))
    op.add_column("jobs", sa.Column("counted_at", sa.Float(53)))
    for table in ("jobs", "projects"):
        seconds = sa.Column("gpu_seconds", sa.Float(53), nullable=False, server_default="0")
        op.add_column(table, seconds)


def downgrade() -> None:
    for table in ("projects", "jobs"):
        op.drop_column(table, "gpu_seconds")
    op.drop_column("jobs", "counted_at")
    op.drop_column("jobs", "held_gpus")

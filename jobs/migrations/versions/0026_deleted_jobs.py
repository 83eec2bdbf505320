"""Deleted jobs whose files are still to be deleted."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0026"
down_revision: str | None = "0025"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_KEY = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "deleted_jobs",
        sa.Column("job_id", _KEY, primary_key=True),
        sa.Column("project", _KEY, nullable=False),
        sa.Column("spec", sa.Text, nullable=False),
        sa.Column("keys", sa.Text, nullable=False),
        sa.Column("due_at", sa.Float(53), nullable=False, server_default="0"),
        sa.Column("retry_seconds", sa.Float(53), nullable=False, server_default="30"),
        sa.Column("leased_until", sa.Float(53), nullable=False, server_default="0"),
    )


def downgrade() -> None:
    op.drop_table("deleted_jobs")

"""What keeps a worker from working, and when and where a job is tried again."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0017"
down_revision: str | None = "0016"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("workers", sa.Column("problem", sa.Text))
    op.add_column("jobs", sa.Column("not_before", sa.Float(53), nullable=False, server_default="0"))
    op.add_column("jobs", sa.Column("failed_on", sa.String))
    op.add_column("jobs", sa.Column("node_faults", sa.Integer, nullable=False, server_default="0"))


def downgrade() -> None:
    for column in ("not_before", "failed_on", "node_faults"):
        op.drop_column("jobs", column)
    op.drop_column("workers", "problem")

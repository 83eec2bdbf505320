"""Rename the time when the workers were told of a job."""

from collections.abc import Sequence

from alembic import op

revision: str = "0025"
down_revision: str | None = "0024"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.execute("ALTER TABLE jobs RENAME COLUMN rung_at TO notified_at")


def downgrade() -> None:
    op.execute("ALTER TABLE jobs RENAME COLUMN notified_at TO rung_at")

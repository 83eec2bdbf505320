"""Rename the jobs that are held back to those that wait for their project's quotas."""

from collections.abc import Sequence

from alembic import op

revision: str = "0023"
down_revision: str | None = "0022"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.execute("ALTER TABLE jobs RENAME COLUMN held_back TO waiting_for_quota")


def downgrade() -> None:
    op.execute("ALTER TABLE jobs RENAME COLUMN waiting_for_quota TO held_back")

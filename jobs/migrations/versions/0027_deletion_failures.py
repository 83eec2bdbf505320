"""Count the failed deletions of a deleted job's files, instead of storing the next pause."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0027"
down_revision: str | None = "0026"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_PAUSES = (60, 120, 240, 480, 960, 1920, 3600)  # the next one after 1, 2, ... failures
_deleted_jobs = sa.table(
    "deleted_jobs", sa.column("failures", sa.Integer), sa.column("retry_seconds", sa.Float(53))
)


def upgrade() -> None:
    op.add_column(
        "deleted_jobs", sa.Column("failures", sa.Integer, nullable=False, server_default="0")
    )
    for failures, pause in enumerate(_PAUSES, start=1):
        at_least = _deleted_jobs.c.retry_seconds >= pause
        op.execute(sa.update(_deleted_jobs).where(at_least).values(failures=failures))
    op.drop_column("deleted_jobs", "retry_seconds")


def downgrade() -> None:
    op.add_column(
        "deleted_jobs",
        sa.Column("retry_seconds", sa.Float(53), nullable=False, server_default="30"),
    )
    op.drop_column("deleted_jobs", "failures")

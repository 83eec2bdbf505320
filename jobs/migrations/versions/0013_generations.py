"""Text that people ask of the models of jobs."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from jobs.database.columns import UtcDateTime

revision: str = "0013"
down_revision: str | None = "0012"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_KEY = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "generations",
        sa.Column("id", _KEY, primary_key=True),
        sa.Column("job_id", _KEY, sa.ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("step", sa.BigInteger, nullable=False),
        sa.Column("request", sa.Text, nullable=False),
        sa.Column("result", sa.Text),
        sa.Column("error", sa.Text),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("worker", sa.String),
        sa.Column("deadline", sa.Float(53), nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("finished_at", UtcDateTime),
    )
    op.create_index("ix_generations_job_id_id", "generations", ["job_id", "id"])
    op.create_index("ix_generations_status_id", "generations", ["status", "id"])


def downgrade() -> None:
    op.drop_table("generations")

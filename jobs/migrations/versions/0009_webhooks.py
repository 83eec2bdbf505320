"""Webhooks, and what is on its way to them."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from jobs.database.columns import UtcDateTime

revision: str = "0009"
down_revision: str | None = "0008"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_KEY = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "webhooks",
        sa.Column("id", _KEY, primary_key=True),
        sa.Column("project", _KEY, nullable=False),
        sa.Column("job_id", _KEY),
        sa.Column("url", sa.String, nullable=False),
        sa.Column("events", sa.Text, nullable=False),
        sa.Column("secret", sa.String, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("failing_since", UtcDateTime),
        sa.Column("leased_until", sa.Float(53), nullable=False),
        sa.Column("tried_at", sa.Float(53), nullable=False),
    )
    op.create_index("ix_webhooks_project_job_id", "webhooks", ["project", "job_id"])
    op.create_table(
        "deliveries",
        sa.Column("id", _KEY, primary_key=True),
        sa.Column("webhook_id", _KEY, sa.ForeignKey("webhooks.id"), nullable=False),
        sa.Column("job_id", _KEY),
        sa.Column("event_type", sa.String, nullable=False),
        sa.Column("event_id", sa.BigInteger),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("due_at", sa.Float(53), nullable=False),
        sa.Column("give_up_at", sa.Float(53), nullable=False),
        sa.Column("response_status", sa.Integer),
        sa.Column("error", sa.Text),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("finished_at", UtcDateTime),
    )
    op.create_index("ix_deliveries_webhook_id_id", "deliveries", ["webhook_id", "id"])
    op.create_index("ix_deliveries_status_due_at", "deliveries", ["status", "due_at"])


def downgrade() -> None:
    for table in ("deliveries", "webhooks"):
        op.drop_table(table)

"""The few events that are no steps are found by an index of their own."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_NOT_A_STEP = sa.text("type != 'train.step'")


def upgrade() -> None:
    op.create_index(
        "ix_events_rare",
        "events",
        ["job_id", "type", "id"],
        sqlite_where=_NOT_A_STEP,
        postgresql_where=_NOT_A_STEP,
    )


def downgrade() -> None:
    op.drop_index("ix_events_rare", "events")

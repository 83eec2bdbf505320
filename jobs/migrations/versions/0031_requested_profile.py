"""A profile that a person requested of a running job, until the trainer has saved it."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0031"
down_revision: str | None = "0030"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("profile_steps", sa.Integer))
    op.add_column("jobs", sa.Column("profile_event", sa.BigInteger))


def downgrade() -> None:
    op.drop_column("jobs", "profile_event")
    op.drop_column("jobs", "profile_steps")

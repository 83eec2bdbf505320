"""Whether the service that accepted a job asks for keys; false for the earlier jobs."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0021"
down_revision: str | None = "0020"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    column = sa.Column("with_keys", sa.Boolean, nullable=False, server_default=sa.false())
    op.add_column("jobs", column)


def downgrade() -> None:
    op.drop_column("jobs", "with_keys")

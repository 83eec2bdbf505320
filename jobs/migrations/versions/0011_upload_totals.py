"""How much workers have uploaded, and how long it took."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0011"
down_revision: str | None = "0010"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "upload_totals",
        sa.Column("kind", sa.String, primary_key=True),
        sa.Column("uploads", sa.BigInteger, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("seconds", sa.Float(53), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("upload_totals")

"""Datasets that people upload, and their parts."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from jobs.database.columns import UtcDateTime

revision: str = "0007"
down_revision: str | None = "0006"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_KEY = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "datasets",
        sa.Column("id", _KEY, primary_key=True),
        sa.Column("project", _KEY, sa.ForeignKey("projects.name"), nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("filename", sa.String, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.String, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("received", sa.BigInteger, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("updated_at", UtcDateTime, nullable=False),
    )
    op.create_index("ix_datasets_project_id", "datasets", ["project", "id"])
    op.create_index("ix_datasets_status_updated_at", "datasets", ["status", "updated_at"])
    op.create_table(
        "dataset_parts",
        sa.Column("dataset_id", _KEY, sa.ForeignKey("datasets.id"), primary_key=True),
        sa.Column("start", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("key", sa.String, nullable=False),
    )


def downgrade() -> None:
    for table in ("dataset_parts", "datasets"):
        op.drop_table(table)

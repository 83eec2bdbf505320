"""Which uploads and which files of other jobs each job reads."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

revision: str = "0019"
down_revision: str | None = "0018"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_KEY = sa.String().with_variant(sa.String(collation="C"), "postgresql")
_FIELDS = (
    ("data", "train", "uri"),
    ("data", "validation", "uri"),
    ("model", "pretrained"),
    ("tokenizer", "pretrained"),
    ("method", "warm_start_from"),
)


def upgrade() -> None:
    table = op.create_table(
        "job_inputs",
        sa.Column("job_id", _KEY, sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("source_id", _KEY, primary_key=True),
        sa.Column("folder", sa.String, primary_key=True),
    )
    op.create_index("ix_job_inputs_source_id", "job_inputs", ["source_id"])
    if rows := list(_rows(op.get_bind())):
        op.bulk_insert(table, rows)


def downgrade() -> None:
    op.drop_table("job_inputs")


def _rows(connection: sa.Connection) -> Iterator[dict[str, str]]:
    """Of what the job's project has; a job cannot read anything else."""
    jobs = sa.table("jobs", sa.column("id"), sa.column("project"), sa.column("spec"))
    datasets = sa.table("datasets", sa.column("id"), sa.column("project"))
    owners = {
        row.id: row.project
        for table in (jobs, datasets)
        for row in connection.execute(sa.select(table.c.id, table.c.project))
    }
    for job in connection.execute(sa.select(jobs)):
        for source_id, folder in {place for uri in _uris(job.spec) if (place := _parse(uri))}:
            if owners.get(source_id) == job.project:
                yield {"job_id": job.id, "source_id": source_id, "folder": folder}


def _uris(stored: str) -> Iterator[str]:
    """What each field says; nothing for a spec, or a field, that cannot be read."""
    try:
        document = json.loads(stored)
    except ValueError:
        return
    for path in _FIELDS:
        value: Any = document
        for key in path:
            value = value.get(key) if isinstance(value, Mapping) else None
        for uri in value if isinstance(value, list) else [value]:
            if isinstance(uri, str):
                yield uri


def _parse(uri: str) -> tuple[str, str] | None:
    scheme, _, rest = uri.partition("://")
    if scheme == "upload":
        return rest, ""
    job_id, _, folder = rest.partition("/")
    return (job_id, folder) if scheme == "job" else None

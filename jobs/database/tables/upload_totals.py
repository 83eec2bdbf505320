"""The table of the totals of all uploads so far, by kind of artifact."""

from sqlalchemy import BigInteger, Column, Float, String, Table

from jobs.database.columns import metadata

# Workers add to it, so that the totals outlive the workers.
upload_totals = Table(
    "upload_totals",
    metadata,
    Column("kind", String, primary_key=True),
    Column("uploads", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("seconds", Float(53), nullable=False),
)

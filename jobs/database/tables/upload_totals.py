"""The table of what was uploaded so far, by kind."""

from sqlalchemy import BigInteger, Column, Float, String, Table

from jobs.database.columns import metadata

# Of all uploads so far. Workers add to it, so that their figures outlive them.
upload_totals = Table(
    "upload_totals",
    metadata,
    Column("kind", String, primary_key=True),
    Column("uploads", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("seconds", Float(53), nullable=False),
)

"""The table of the output of running trainers."""

from sqlalchemy import BigInteger, Column, ForeignKey, Integer, LargeBinary, Table

from jobs.database.columns import BytewiseString, metadata

log_chunks = Table(
    "log_chunks",
    metadata,
    Column("job_id", BytewiseString, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("start", BigInteger, primary_key=True, autoincrement=False),
    Column("end", BigInteger, nullable=False),
    Column("text", LargeBinary, nullable=False),
)

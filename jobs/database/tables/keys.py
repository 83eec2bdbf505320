"""The table of API keys. It has a digest of each key, never the key itself."""

from sqlalchemy import Column, ForeignKey, String, Table

from jobs.database.columns import BytewiseString, UtcDateTime, metadata, string_enum
from jobs.database.tables.jobs import projects
from jobs.schemas.keys import Scope

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", BytewiseString, primary_key=True),
    Column("project", BytewiseString, ForeignKey(projects.c.name), nullable=False, index=True),
    Column("name", String, nullable=False),
    Column("scope", string_enum(Scope), nullable=False),
    Column("prefix", String, nullable=False),
    Column("digest", String, nullable=False, unique=True),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime),
    Column("revoked_at", UtcDateTime),
    Column("last_used_at", UtcDateTime),
)

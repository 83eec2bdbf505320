"""The types of columns, for SQLite and PostgreSQL."""

from datetime import UTC, datetime
from enum import StrEnum

from sqlalchemy import BigInteger, DateTime, Dialect, Enum, Integer, MetaData, String, TypeDecorator


class UtcDateTime(TypeDecorator[datetime]):
    """A timezone-aware UTC time, also on SQLite, which stores no time zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None or dialect.name != "sqlite":
            return value
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def string_enum(values: type[StrEnum]) -> Enum:
    """Return a string column for an enum, so that a new member needs no migration."""
    return Enum(
        values,
        native_enum=False,
        length=16,
        values_callable=lambda members: [member.value for member in members],
    )


# Strings sorted by byte, as Python and S3 sort, whatever the locale of the database.
BytewiseString = String().with_variant(String(collation="C"), "postgresql")
# SQLite generates ids only in a column of its own integer type.
RowId = BigInteger().with_variant(Integer, "sqlite")

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

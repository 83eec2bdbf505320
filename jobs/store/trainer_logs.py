"""The output of the trainer of a running attempt, readable before the attempt ends.

The worker stores new output as it comes. Only the last `KEPT_BYTES` of each attempt are kept.
When the attempt is over, the whole log becomes a file of the job, and its rows are deleted.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, delete, func, insert, select

from jobs.database.engine import READ_ONLY
from jobs.database.tables.trainer_logs import log_chunks

KEPT_BYTES = 1 << 20
CHUNK_BYTES = 1 << 16


@dataclass(frozen=True)
class Extent:
    """The bytes [start, end) of a log."""

    start: int
    end: int


class LogStore:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reads = engine.execution_options(**READ_ONLY)

    def append(self, job_id: str, attempt: int, start: int, text: bytes) -> None:
        """Add the bytes of the log that begin at offset `start`, and delete bytes that are too old.

        Bytes that were stored before are skipped.
        """
        end = start + len(text)
        with self._engine.begin() as connection:
            stored = _extent(connection, job_id, attempt)
            first = max(start, end - KEPT_BYTES, stored.end if stored else 0)
            rows = [
                _row(job_id, attempt, at, text[at - start : at - start + CHUNK_BYTES])
                for at in range(first, end, CHUNK_BYTES)
            ]
            if rows:
                connection.execute(insert(log_chunks), rows)
            # If there is a gap before the new bytes, the bytes before the gap are deleted too.
            kept_from = first if stored and stored.end < first else end - KEPT_BYTES
            connection.execute(
                delete(log_chunks).where(
                    log_chunks.c.job_id == job_id,
                    log_chunks.c.attempt == attempt,
                    log_chunks.c.end <= kept_from,
                )
            )

    def forget(self, job_id: str, attempt: int) -> None:
        """Delete the stored log of an attempt, because the whole log is a file of the job now."""
        with self._engine.begin() as connection:
            connection.execute(
                delete(log_chunks).where(
                    log_chunks.c.job_id == job_id, log_chunks.c.attempt == attempt
                )
            )

    def extent(self, job_id: str, attempt: int) -> Extent | None:
        """Return the range of bytes that is stored, or None if there is none."""
        with self._reads.begin() as connection:
            return _extent(connection, job_id, attempt)

    def read(self, job_id: str, attempt: int, start: int, end: int) -> Iterator[bytes]:
        """Yield those of the bytes [start, end) that are stored, in chunks."""
        query = (
            select(log_chunks.c.start, log_chunks.c.text)
            .where(log_chunks.c.job_id == job_id, log_chunks.c.attempt == attempt)
            .where(log_chunks.c.start < end, log_chunks.c.end > start)
            .order_by(log_chunks.c.start)
        )
        with self._reads.begin() as connection:
            rows = connection.execute(query).all()
        for row in rows:
            yield row.text[max(start - row.start, 0) : end - row.start]


def _row(job_id: str, attempt: int, start: int, text: bytes) -> dict[str, object]:
    return {
        "job_id": job_id,
        "attempt": attempt,
        "start": start,
        "end": start + len(text),
        "text": text,
    }


def _extent(connection: Connection, job_id: str, attempt: int) -> Extent | None:
    start, end = connection.execute(
        select(func.min(log_chunks.c.start), func.max(log_chunks.c.end)).where(
            log_chunks.c.job_id == job_id, log_chunks.c.attempt == attempt
        )
    ).one()
    return None if start is None else Extent(start, end)

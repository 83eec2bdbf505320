"""The log of an attempt: in the database while the trainer runs, afterwards in the storage."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool

from jobs.backends import Backends
from jobs.errors import ArtifactNotFound, JobNotFound, LogNotFound
from jobs.schemas.job import Artifact, Job
from jobs.schemas.status import LEASED
from relora_core.workdir.files import log_path

BLOCK_BYTES = 1 << 16
MOST_TAIL_BYTES = 4 << 20  # how far back from the end the last lines are searched
POLL_SECONDS = 1.0


@dataclass(frozen=True)
class Log:
    """The log of an attempt.

    The bytes [start, end) can be read now, and those before `start` once the attempt is over.
    """

    job_id: str
    attempt: int
    start: int
    end: int
    is_whole: bool  # nothing more will be added
    read: Callable[[int, int], Iterator[bytes]]

    def line_start(self, lines: int) -> int:
        """Return the offset where the last `lines` lines begin."""
        if lines == 0:
            return self.end
        position, found = self.end, b""
        oldest = max(self.start, self.end - MOST_TAIL_BYTES)
        while position > oldest and found.count(b"\n", 0, -1) < lines:
            earlier = max(oldest, position - BLOCK_BYTES)
            found = b"".join(self.read(earlier, position)) + found
            position = earlier
        at = len(found) - 1
        for _ in range(lines):
            at = found.rfind(b"\n", 0, max(at, 0))
        return position + at + 1


def open_log(backends: Backends, job_id: str, attempt: int | None) -> Log:
    """Return the log of an attempt, by default the last. Raise `LogNotFound` if there is none."""
    job = backends.store.get(job_id)
    number = job.attempt if attempt is None else attempt
    if not 0 < number <= job.attempt:
        raise LogNotFound(job_id, number)
    # Read the database first: it drops a log only after the log is listed as a file.
    here = backends.logs.extent(job_id, number)
    if (file := _file(backends, job_id, number)) is not None:
        return _in_storage(backends, job, number, file)
    runs = number == job.attempt and job.status in LEASED
    if here is None and not runs:
        raise LogNotFound(job_id, number)
    return Log(
        job_id=job_id,
        attempt=number,
        start=here.start if here else 0,
        end=here.end if here else 0,
        is_whole=not runs,
        read=lambda start, end: backends.logs.read(job_id, number, start, end),
    )


def _file(backends: Backends, job_id: str, attempt: int) -> Artifact | None:
    try:
        return backends.store.artifact(job_id, log_path(attempt))
    except ArtifactNotFound:
        return None


def _in_storage(backends: Backends, job: Job, attempt: int, file: Artifact) -> Log:
    storage = backends.storage_for(job)
    return Log(
        job_id=job.id,
        attempt=attempt,
        start=0,
        end=file.size,
        is_whole=True,
        read=lambda start, end: storage.read(file.key, start, end),
    )


async def follow(
    backends: Backends, log: Log, position: int, closed: Callable[[], bool]
) -> AsyncGenerator[tuple[int, bytes], None]:
    """Yield new bytes after `position`, each with its end offset, until the attempt is over.

    Yield empty bytes whenever a poll finds nothing new.
    """
    while not closed():
        try:
            log = await run_in_threadpool(open_log, backends, log.job_id, log.attempt)
        except (JobNotFound, LogNotFound):  # the job was deleted in the meantime
            return
        position = max(position, log.start)
        if new := await run_in_threadpool(_next, log, position):
            position += len(new)
            yield position, new
        elif log.is_whole:
            return
        else:
            yield position, b""
            await asyncio.sleep(POLL_SECONDS)


def _next(log: Log, position: int) -> bytes:
    """Return the next bytes, up to the end of a line if there is one."""
    end = min(log.end, position + BLOCK_BYTES)
    new = b"".join(log.read(position, end)) if position < end else b""
    whole = new.rfind(b"\n") + 1
    if whole and end < log.end:
        return new[:whole]
    return new if log.is_whole and end == log.end else _whole_characters(new)


def _whole_characters(text: bytes) -> bytes:
    """Return the text without an incomplete UTF-8 character at its end."""
    for length in range(1, min(4, len(text)) + 1):
        first = text[-length]
        if first & 0b1100_0000 != 0b1000_0000:  # not a continuation byte
            needed = 1 if first < 0x80 else 2 if first < 0xE0 else 3 if first < 0xF0 else 4
            return text[:-length] if needed > length else text
    return text

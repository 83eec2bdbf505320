"""Live events: read and serialized once for all clients that listen to the same job."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from itertools import takewhile

from fastapi.sse import format_sse_event
from starlette.concurrency import run_in_threadpool

from jobs.outages import FailureLog
from jobs.schemas.events import AnyJobEvent
from jobs.schemas.status import FINAL
from jobs.store.jobs import JobStore
from relora_core.events import to_line
from service.schemas.responses import LAST_EVENTS
from service.streams.hub import Hub, Watch
from service.streams.waiting import set_within

logger = logging.getLogger(__name__)

PAGE = 500  # events in one read
REMEMBERED = 1000  # events of a job in memory; a client further behind reads from the store


@dataclass(frozen=True, slots=True)
class Frame:
    """An event as the bytes of a server-sent event."""

    id: int
    type: str
    data: bytes
    is_last: bool  # of its job

    @classmethod
    def of(cls, event: AnyJobEvent) -> "Frame":
        assert event.id is not None  # noqa: S101 # the store numbers every event
        data = format_sse_event(id=str(event.id), event=event.type, data_str=to_line(event))
        return cls(event.id, event.type, data, isinstance(event, LAST_EVENTS))


class JobWatch(Watch):
    """The newest events of one job."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.newest = after
        self.recent: deque[Frame] = deque(maxlen=REMEMBERED)

    def add(self, frames: list[Frame]) -> None:
        self.recent.extend(frames)
        self.newest = frames[-1].id
        self.announce()

    def after(self, position: int) -> list[Frame] | None:
        """Return the events after `position`, or None if they are no longer in memory."""
        if position >= self.newest:
            return []
        if self.recent and self.recent[0].id <= position + 1:
            later = takewhile(lambda frame: frame.id > position, reversed(self.recent))
            return list(later)[::-1]
        return None


class EventHub(Hub[str, JobWatch]):
    """A hub that reads new events of jobs and gives them to all clients that listen.

    It reads the events of a job when it is woken for that job. In case a wake-up was lost, it looks
    every `poll_seconds` which jobs have new events: one query for all jobs.
    """

    def __init__(self, store: JobStore, *, poll_seconds: float = 1.0) -> None:
        super().__init__(poll_seconds=poll_seconds)
        self._store = store
        self._look: asyncio.Task[None] | None = None

    def wake(self, job_id: str) -> None:
        """Signal that the job may have new events."""
        if watch := self._watches.get(job_id):
            watch.woken.set()

    async def listen(
        self, job_id: str, *, after: int, quiet_seconds: float
    ) -> AsyncGenerator[list[Frame], None]:
        """Yield the events after `after` until the job's last event, in batches.

        Yield an empty list after each `quiet_seconds` without events. If the store has no events
        from `after` on, because it was restored from a backup, start from the first event.
        """
        if after and not await self._read(job_id, after - 1, limit=1):
            after = 0
        job = await run_in_threadpool(self._store.get, job_id)
        if job.status in FINAL:
            while frames := await self._read(job_id, after):
                after = frames[-1].id
                yield frames
            return
        watch = self._join(job_id, JobWatch(after))
        if self._look is None:
            self._look = asyncio.create_task(self._look_for_events())
        try:
            async for frames in self._follow(job_id, watch, after, quiet_seconds):
                yield frames
        finally:
            self._leave(job_id, watch)

    async def _follow(
        self, job_id: str, watch: JobWatch, position: int, quiet_seconds: float
    ) -> AsyncGenerator[list[Frame], None]:
        while not self._closed:
            changed = watch.changed  # taken before the read, so that no change is missed
            frames = watch.after(position)
            if frames is None:
                frames = await self._read(job_id, position)
            if frames:
                position = frames[-1].id
                yield frames
                if frames[-1].is_last and await self._is_over(job_id):
                    return
            elif not await set_within(changed, quiet_seconds):
                yield []

    async def _is_over(self, job_id: str) -> bool:
        """Return False if a user has retried the job in the meantime."""
        progress = await run_in_threadpool(self._store.progress, job_id)
        return progress.status in FINAL

    async def _poll(self, job_id: str, watch: JobWatch) -> None:
        failures = FailureLog(logger, f"read the events of job {job_id}")
        while True:
            watch.woken.clear()
            try:
                frames = await self._read(job_id, watch.newest)
            except Exception as error:  # after any error, the listeners wait for the next try
                failures.failed(error)
                await set_within(watch.woken, self._poll_seconds)
                continue
            failures.succeeded()
            if frames:
                watch.add(frames)
            if len(frames) < PAGE:
                await watch.woken.wait()

    async def _look_for_events(self) -> None:
        """Wake the jobs that have events which no wake-up told, while there are listeners."""
        failures = FailureLog(logger, "look for new events")
        while self._watches:
            await asyncio.sleep(self._poll_seconds)
            try:
                newest = await run_in_threadpool(self._store.newest_events, list(self._watches))
            except Exception as error:  # after any error, the listeners wait for the next try
                failures.failed(error)
                continue
            failures.succeeded()
            for job_id, watch in self._watches.items():
                if newest.get(job_id, 0) > watch.newest:
                    watch.woken.set()
        self._look = None

    async def _read(self, job_id: str, after: int, limit: int = PAGE) -> list[Frame]:
        return await run_in_threadpool(self._frames, job_id, after, limit)

    def _frames(self, job_id: str, after: int, limit: int) -> list[Frame]:
        return [Frame.of(event) for event in self._store.events(job_id, after=after, limit=limit)]

"""Live states of a project's jobs: read once for all clients that follow the same jobs.

A client gets the newest state of each job and not each event, so one that is slow never falls
behind. The events of a job are in its own stream (`service.streams.events`).
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import takewhile

from fastapi.sse import format_sse_event
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from jobs.outages import FailureLog
from jobs.schemas.job import JobState
from jobs.store.filters import JobFilter
from jobs.store.states import StateStore, Version
from service.schemas.responses import DeletedJob
from service.streams.hub import Hub, Watch
from service.streams.waiting import set_within

logger = logging.getLogger(__name__)

# Servers and workers write the time of a change by their own clocks. A state may come twice.
CLOCK_SKEW = timedelta(seconds=60)
PAUSE_SECONDS = 0.25  # between two reads, so that many reports are one change
CHANGED, DELETED = "job.changed", "job.deleted"


@dataclass(frozen=True)
class Followed:
    """The jobs that a client follows."""

    project: str
    wanted: JobFilter


class JobsWatch(Watch):
    """The newest frame of each job, in the order of their changes."""

    def __init__(self) -> None:
        super().__init__()
        self.position = 0
        self.versions: dict[str, Version] = {}
        self._frames: dict[str, tuple[int, bytes]] = {}

    def add(self, frames: Iterable[tuple[str, bytes]]) -> None:
        for job_id, frame in frames:
            self.position += 1
            self._frames.pop(job_id, None)  # to the end of the order
            self._frames[job_id] = self.position, frame
        self.announce()

    def after(self, position: int) -> list[bytes]:
        later = takewhile(lambda pair: pair[0] > position, reversed(self._frames.values()))
        return [frame for _, frame in later][::-1]


class StateHub(Hub[Followed, JobsWatch]):
    """A hub that reads the states of jobs and gives them to all clients that follow them.

    It reads when it is woken for any job, and every `poll_seconds`.
    """

    def __init__(self, store: StateStore, *, poll_seconds: float = 1.0) -> None:
        super().__init__(poll_seconds=poll_seconds)
        self._store = store

    def wake(self) -> None:
        """Signal that some job may have changed."""
        for watch in self._watches.values():
            watch.woken.set()

    async def listen(
        self, followed: Followed, *, since: datetime, quiet_seconds: float
    ) -> AsyncGenerator[list[bytes], None]:
        """Yield the jobs that are not over or have changed since then, and then each change.

        Yield an empty list after each `quiet_seconds` without a change.
        """
        watch = self._join(followed, JobsWatch())
        try:
            position = watch.position  # taken before the read, so that no change is missed
            current = await run_in_threadpool(self._current, followed, since - CLOCK_SKEW)
            yield current
            while not self._closed:
                changed = watch.changed
                if frames := watch.after(position):
                    position = watch.position
                    yield frames
                elif not await set_within(changed, quiet_seconds):
                    yield []
        finally:
            self._leave(followed, watch)

    async def _poll(self, followed: Followed, watch: JobsWatch) -> None:
        failures = FailureLog(logger, "read the states of jobs")
        while True:
            watch.woken.clear()
            try:
                watch.versions, frames = await run_in_threadpool(
                    self._changes, followed, watch.versions
                )
            except Exception as error:  # after any error, the listeners wait for the next try
                failures.failed(error)
            else:
                failures.succeeded()
                if frames:
                    watch.add(frames)
            await asyncio.sleep(PAUSE_SECONDS)
            await set_within(watch.woken, self._poll_seconds)

    def _current(self, followed: Followed, since: datetime) -> list[bytes]:
        current = self._store.versions(followed.wanted, project=followed.project, since=since)
        return [frame for _, frame in _frames_of(self._store.states(current))]

    def _changes(
        self, followed: Followed, known: dict[str, Version]
    ) -> tuple[dict[str, Version], list[tuple[str, bytes]]]:
        """Return the versions now, and the frames of the jobs whose versions are not known."""
        since = datetime.now(UTC) - CLOCK_SKEW
        current = self._store.versions(followed.wanted, project=followed.project, since=since)
        changed = [job_id for job_id, version in current.items() if known.get(job_id) != version]
        missing = known.keys() - current.keys()
        gone = missing - self._store.existing(missing) if missing else set()
        return current, [
            *(_frames_of(self._store.states(changed)) if changed else ()),
            *((job_id, _frame(DELETED, DeletedJob(id=job_id))) for job_id in sorted(gone)),
        ]


def _frames_of(states: Iterable[JobState]) -> list[tuple[str, bytes]]:
    return [(state.id, _frame(CHANGED, state)) for state in states]


def _frame(kind: str, data: BaseModel) -> bytes:
    """Return a frame whose id is the time in milliseconds, from which a client resumes."""
    now = str(int(time.time() * 1000))
    return format_sse_event(id=now, event=kind, data_str=data.model_dump_json())

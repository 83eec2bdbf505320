"""The states of a project's jobs, live: read once for all who follow the same jobs."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Any

from jobs.backends import Backends
from jobs.schemas.job import Job, JobChanges
from jobs.schemas.status import JobStatus
from jobs.store.filters import ALL_JOBS, JobFilter
from service.streams.states import Followed, StateHub
from tests.fixtures.reports import step_finished

Report = Callable[..., None]
EVERYTHING = Followed("default", ALL_JOBS)


def told(frames: list[bytes]) -> list[tuple[str, dict[str, Any]]]:
    """The kind and the content of each frame."""
    lines = [frame.decode().split("\n") for frame in frames]
    fields = [dict(line.split(": ", 1) for line in some if line) for some in lines]
    return [(one["event"], json.loads(one["data"])) for one in fields]


def following(
    backends: Backends,
    scene: Callable[[AsyncGenerator[list[bytes], None]], Coroutine[Any, Any, None]],
    *,
    followed: Followed = EVERYTHING,
    since: datetime | None = None,
) -> None:
    async def run() -> None:
        hub = StateHub(backends.states, poll_seconds=0.02)
        batches = hub.listen(followed, since=since or datetime.now(UTC), quiet_seconds=10)
        async with aclosing(batches), asyncio.timeout(20):
            await scene(batches)
        assert hub.listeners == 0

    asyncio.run(run())


async def until(
    batches: AsyncGenerator[list[bytes], None], seen: Callable[[str, dict[str, Any]], bool]
) -> dict[str, Any]:
    """Return the first frame that is wanted."""
    async for frames in batches:
        for kind, content in told(frames):
            if seen(kind, content):
                return content
    raise AssertionError("the stream ended")


def test_a_stream_begins_with_the_jobs_that_are_not_over(backends: Backends, running: Job) -> None:
    over = backends.store.create(running.spec)
    backends.attempts.claim(over.id, worker="w2", lease_seconds=60)
    backends.attempts.started(over.id, 1, resumed_from=None)
    backends.attempts.finish(over.id, 1, JobStatus.SUCCEEDED)
    later = datetime.now(UTC) + timedelta(minutes=5)

    async def scene(batches: AsyncGenerator[list[bytes], None]) -> None:
        ((kind, state),) = told(await anext(batches))
        assert (kind, state["id"], state["status"]) == ("job.changed", running.id, "running")
        assert state["progress"]["step"] == 1
        assert "spec" not in state

    following(backends, scene, since=later)


def test_a_stream_that_is_resumed_has_also_the_jobs_that_were_over_since(
    backends: Backends, running: Job
) -> None:
    backends.attempts.finish(running.id, 1, JobStatus.SUCCEEDED)

    async def scene(batches: AsyncGenerator[list[bytes], None]) -> None:
        ((_, state),) = told(await anext(batches))
        assert (state["id"], state["status"]) == (running.id, "succeeded")

    following(backends, scene, since=datetime.now(UTC) - timedelta(seconds=5))


def test_reports_an_end_a_new_name_and_a_deletion_are_told(
    backends: Backends, running: Job, report: Report
) -> None:
    async def scene(batches: AsyncGenerator[list[bytes], None]) -> None:
        await anext(batches)
        await asyncio.to_thread(report, running, step_finished(2))
        state = await until(batches, lambda _, state: state["progress"]["step"] == 2)
        assert state["progress"]["version"] == 5
        finish = backends.attempts.finish
        await asyncio.to_thread(finish, running.id, 1, JobStatus.SUCCEEDED)
        await until(batches, lambda _, state: state["status"] == "succeeded")
        await asyncio.to_thread(backends.store.change, running.id, JobChanges(name="other"))
        await until(batches, lambda _, state: state["name"] == "other")
        await asyncio.to_thread(backends.store.delete, running.id)
        assert await until(batches, lambda kind, _: kind == "job.deleted") == {"id": running.id}

    following(backends, scene)


def test_a_filter_and_the_project_choose_the_jobs(backends: Backends, running: Job) -> None:
    other = running.spec.model_copy(update={"labels": {"team": "nlp"}})

    async def scene(batches: AsyncGenerator[list[bytes], None]) -> None:
        assert await anext(batches) == []
        job = await asyncio.to_thread(backends.store.create, other)
        assert (await until(batches, lambda *_: True))["id"] == job.id

    nlp = JobFilter(labels=(("team", "nlp"),))
    following(backends, scene, followed=Followed("default", nlp))

    async def nothing(batches: AsyncGenerator[list[bytes], None]) -> None:
        assert await anext(batches) == []

    following(backends, nothing, followed=Followed("another", ALL_JOBS))


def test_followers_of_the_same_jobs_share_one_reader_and_each_gets_the_newest_state(
    backends: Backends, running: Job, report: Report
) -> None:
    async def scene() -> None:
        hub = StateHub(backends.states, poll_seconds=0.02)
        followers = [
            hub.listen(EVERYTHING, since=datetime.now(UTC), quiet_seconds=10) for _ in range(3)
        ]
        for one in followers:
            await anext(one)
        assert len(hub._watches) == 1
        await asyncio.to_thread(report, running, *(step_finished(n) for n in range(2, 60)))
        for one in followers:
            async with asyncio.timeout(20):
                await until(one, lambda _, state: state["progress"]["step"] == 59)
        for one in followers:
            await one.aclose()
        assert (hub.listeners, hub._watches, hub._pollers) == (0, {}, {})

    asyncio.run(scene())


def test_a_hub_that_closes_ends_its_streams(backends: Backends, running: Job) -> None:
    async def scene() -> None:
        hub = StateHub(backends.states)
        batches = hub.listen(EVERYTHING, since=datetime.now(UTC), quiet_seconds=10)
        ((_, state),) = told(await anext(batches))
        assert state["id"] == running.id
        hub.close()
        async for _ in batches:
            pass

    asyncio.run(asyncio.wait_for(scene(), 10))

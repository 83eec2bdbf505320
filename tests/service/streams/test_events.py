"""The event hub: one reader of the store for all who listen to a job."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing

import pytest

from jobs.backends import Backends
from jobs.schemas.events import AnyJobEvent
from jobs.schemas.job import Job
from jobs.schemas.status import JobError, JobStatus, RequestedAction
from service.streams import events as stream
from service.streams.events import EventHub, Frame
from tests.fixtures.reports import step_finished

Report = Callable[..., None]


async def numbers(hub: EventHub, job: Job, *, after: int = 0, up_to: int) -> list[int | None]:
    """The ids of the events that a listener hears, until it has heard number `up_to`."""
    heard: list[int | None] = []
    async with aclosing(hub.listen(job.id, after=after, quiet_seconds=10)) as batches:
        async for events in batches:
            heard += [event.id for event in events]
            if up_to in heard:
                break
    return heard


@pytest.fixture
def read_jobs(backends: Backends, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of the jobs whose events were read, once for each time."""
    ids: list[str] = []
    read = backends.store.events

    def counted(job_id: str, *, after: int, limit: int) -> list[AnyJobEvent]:
        ids.append(job_id)
        return read(job_id, after=after, limit=limit)

    monkeypatch.setattr(backends.store, "events", counted)
    return ids


def test_a_listener_hears_what_happens_while_it_listens(
    backends: Backends, running: Job, report: Report
) -> None:
    async def scene() -> list[int | None]:
        hub = EventHub(backends.store, poll_seconds=0.01)
        listener = asyncio.create_task(numbers(hub, running, after=2, up_to=6))
        await asyncio.sleep(0.05)
        await asyncio.to_thread(report, running, step_finished(2), step_finished(3))
        return await listener

    assert asyncio.run(scene()) == [3, 4, 5, 6]


def test_a_job_that_was_retried_goes_on_after_its_failure(backends: Backends, running: Job) -> None:
    backends.attempts.finish(
        running.id, 1, JobStatus.FAILED, error=JobError(code="crashed", message="It ended.")
    )
    backends.store.retry(running.id)

    async def scene() -> list[int | None]:
        hub = EventHub(backends.store, poll_seconds=60)
        listener = asyncio.create_task(numbers(hub, running, after=4, up_to=7))
        await asyncio.sleep(0.2)
        await asyncio.to_thread(backends.store.request_action, running.id, RequestedAction.CANCEL)
        hub.wake(running.id)
        return await asyncio.wait_for(listener, 10)

    assert asyncio.run(scene()) == [5, 6, 7]


def test_a_wake_up_spares_the_wait_for_the_next_look(
    backends: Backends, running: Job, report: Report
) -> None:
    async def scene() -> list[int | None]:
        hub = EventHub(backends.store, poll_seconds=60)
        listener = asyncio.create_task(numbers(hub, running, up_to=5))
        await asyncio.sleep(0.2)
        await asyncio.to_thread(report, running, step_finished(2))
        hub.wake(running.id)
        return await asyncio.wait_for(listener, 10)

    assert asyncio.run(scene()) == [1, 2, 3, 4, 5]


def test_a_listener_that_is_far_behind_reads_from_the_store(
    backends: Backends, running: Job, report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "REMEMBERED", 3)
    monkeypatch.setattr(stream, "PAGE", 4)
    report(running, *(step_finished(n) for n in range(2, 30)))

    async def scene() -> tuple[list[int | None], list[int | None]]:
        hub = EventHub(backends.store, poll_seconds=0.01)
        ahead = asyncio.create_task(numbers(hub, running, after=30, up_to=33))
        await asyncio.sleep(0.05)
        behind = asyncio.create_task(numbers(hub, running, after=0, up_to=33))
        await asyncio.to_thread(report, running, step_finished(30), first=30)
        return await ahead, await behind

    ahead, behind = asyncio.run(scene())
    assert ahead == [31, 32, 33]
    assert behind == list(range(1, 34))


def test_an_id_that_the_log_does_not_hold_starts_over(backends: Backends, running: Job) -> None:
    hub = EventHub(backends.store)
    assert asyncio.run(numbers(hub, running, after=1000, up_to=4)) == [1, 2, 3, 4]


def test_a_finished_job_is_told_to_its_end_without_a_wait(backends: Backends, running: Job) -> None:
    backends.attempts.finish(running.id, 1, JobStatus.SUCCEEDED)

    async def scene() -> list[list[Frame]]:
        hub = EventHub(backends.store, poll_seconds=60)
        return [batch async for batch in hub.listen(running.id, after=0, quiet_seconds=60)]

    assert [event.id for batch in asyncio.run(scene()) for event in batch] == [1, 2, 3, 4, 5]


def test_a_closed_hub_ends_its_streams(backends: Backends, running: Job) -> None:
    async def scene() -> None:
        hub = EventHub(backends.store, poll_seconds=60)
        listener = asyncio.create_task(numbers(hub, running, up_to=1000))
        await asyncio.sleep(0.1)
        hub.close()
        await asyncio.wait_for(listener, 10)

    asyncio.run(scene())


def test_jobs_in_which_nothing_happens_are_looked_at_together(
    backends: Backends,
    running: Job,
    report: Report,
    read_jobs: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    others = [backends.store.create(running.spec) for _ in range(20)]
    looks: list[int] = []
    newest_events = backends.store.newest_events

    def counted(ids: list[str]) -> dict[str, int]:
        looks.append(len(ids))
        return newest_events(ids)

    monkeypatch.setattr(backends.store, "newest_events", counted)

    async def scene() -> list[int | None]:
        hub = EventHub(backends.store, poll_seconds=0.01)
        idle = [asyncio.create_task(numbers(hub, job, up_to=1000)) for job in others]
        listener = asyncio.create_task(numbers(hub, running, after=4, up_to=5))
        while len(looks) < 20:
            await asyncio.sleep(0.01)
        await asyncio.to_thread(report, running, step_finished(2))
        heard = await asyncio.wait_for(listener, 10)
        for each in idle:
            each.cancel()
        return heard

    assert asyncio.run(scene()) == [5]
    assert max(looks) == len(others) + 1
    assert all(read_jobs.count(job.id) <= 2 for job in others)  # what there was, and nothing after


def test_nobody_reads_for_a_job_that_nobody_listens_to(
    backends: Backends, running: Job, read_jobs: list[str]
) -> None:
    async def scene() -> int:
        hub = EventHub(backends.store, poll_seconds=0.01)
        await numbers(hub, running, up_to=4)
        await asyncio.sleep(0.05)
        before = len(read_jobs)
        await asyncio.sleep(0.1)
        return len(read_jobs) - before

    assert asyncio.run(scene()) == 0


def test_a_store_that_fails_is_asked_again(
    backends: Backends, running: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, failures = backends.store.events, iter(range(3))

    def failing(job_id: str, *, after: int, limit: int) -> list[AnyJobEvent]:
        if next(failures, None) is not None:
            raise OSError("gone for a moment")
        return read(job_id, after=after, limit=limit)

    async def scene() -> list[int | None]:
        hub = EventHub(backends.store, poll_seconds=0.01)
        listener = asyncio.create_task(numbers(hub, running, after=0, up_to=4))
        return await asyncio.wait_for(listener, 10)

    monkeypatch.setattr(backends.store, "events", failing)
    assert asyncio.run(scene()) == [1, 2, 3, 4]

"""Events as they happen, over broken lines."""

import asyncio
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from jobs.backends import Backends
from jobs.schemas.job import Job, JobState
from jobs.schemas.status import JobError, JobStatus
from relora_core.events import Warned
from service.client import AsyncClient, Client
from service.client.sse import Disconnected, Reconnected, SseEvent, SseParser
from service.schemas.responses import DeletedJob
from tests.fixtures.reports import step_finished
from tests.service.process import Service
from tests.service.serving import serving

Report = Callable[..., None]


def test_events_are_read_over_all_pages(client: Client, running: Job, report: Report) -> None:
    report(running, *(step_finished(n) for n in range(2, 1101)))
    assert [event.id for event in client.jobs.events(running.id)] == list(range(1, 1104))
    assert [event.id for event in client.jobs.events(running.id, after=1101)] == [1102, 1103]
    assert [event.id for event in client.jobs.events(running.id, types=["job.claimed"])] == [2]


def test_a_stream_ends_with_the_job(client: Client, backends: Backends, running: Job) -> None:
    backends.attempts.finish(running.id, 1, JobStatus.SUCCEEDED)
    events = list(client.jobs.stream(running.id, after=3))
    assert [event.type for event in events] == ["train.step", "job.succeeded"]
    assert list(client.jobs.stream(running.id, after=5)) == []
    assert [event.id for event in client.jobs.stream(running.id, types=["train.step"])] == [4]


def test_a_job_that_failed_and_was_retried_is_told_to_its_end(
    client: Client, backends: Backends, running: Job
) -> None:
    error = JobError(code="data_error", message="no text")
    backends.attempts.finish(running.id, 1, JobStatus.FAILED, error=error)
    backends.store.retry(running.id)
    backends.attempts.claim(running.id, worker="w2", lease_seconds=60)
    backends.attempts.started(running.id, 2, resumed_from=None)
    backends.attempts.finish(running.id, 2, JobStatus.SUCCEEDED)
    assert [event.type for event in client.jobs.stream(running.id, after=4)] == [
        "job.failed",
        "job.queued",
        "job.claimed",
        "job.started",
        "job.succeeded",
    ]


def test_a_stream_outlives_a_restart_of_the_server_without_loss_or_repetition(
    backends: Backends, running: Job, report: Report
) -> None:
    news: list[Disconnected | Reconnected] = []
    first = ExitStack()
    url = first.enter_context(serving(backends))
    with Client(url) as client:
        stream = client.jobs.stream(running.id, listener=news.append)
        seen = [next(stream).id for _ in range(4)]
        first.close()
        report(running, step_finished(2))
        with serving(backends, int(url.rpartition(":")[2])):
            seen.append(next(stream).id)
            backends.attempts.finish(running.id, 1, JobStatus.SUCCEEDED)
            seen += [event.id for event in stream]
    assert seen == [1, 2, 3, 4, 5, 6]
    cut, back = news
    assert cut == Disconnected("closed by the service")
    assert isinstance(back, Reconnected)


def test_a_stream_that_is_not_cut_tells_its_listener_nothing(
    client: Client, backends: Backends, running: Job
) -> None:
    backends.attempts.finish(running.id, 1, JobStatus.SUCCEEDED)
    news: list[Disconnected | Reconnected] = []
    assert len(list(client.jobs.stream(running.id, listener=news.append))) == 5
    assert list(client.jobs.stream(running.id, after=5, listener=news.append)) == []
    assert news == []


@pytest.mark.slow
@pytest.mark.integration
def test_a_stream_outlives_a_server_that_is_killed(
    service: Service, backends: Backends, running: Job, report: Report
) -> None:
    async def follow() -> list[int | None]:
        seen = []
        async with AsyncClient(service.url) as client:
            async for event in client.jobs.stream(running.id):
                seen.append(event.id)
                if event.id == 4:
                    service.kill()
                    report(running, step_finished(2))
                    await asyncio.to_thread(service.start)
                    backends.attempts.finish(running.id, 1, JobStatus.SUCCEEDED)
        return seen

    assert asyncio.run(follow()) == [1, 2, 3, 4, 5, 6]


def test_a_text_with_separators_of_lines_stays_whole(
    client: Client, running: Job, report: Report
) -> None:
    report(running, Warned(step=1, code="odd", message="a\u2028b\x0cc\x85d"))
    stream = client.jobs.stream(running.id, after=4)
    event = next(stream)
    assert isinstance(event, Warned)
    assert event.message == "a\u2028b\x0cc\x85d"


def test_frames_are_cut_wherever_the_bytes_are() -> None:
    stream = "retry: 2000\n\n: ping\n\nid: 7\nevent: log\ndata: é\ndata: \n\nid: 8\ndata:x\r\n\r\n"
    parser = SseParser()
    found = [event for byte in stream.encode() for event in parser.parse(bytes([byte]))]
    assert found == [SseEvent("7", "log", "é\n"), SseEvent("8", "", "x")]


def test_jobs_are_followed_from_their_change_to_their_deletion(
    client: Client, backends: Backends, running: Job
) -> None:
    changes = client.jobs.follow(id_prefix=running.id)
    first = next(changes)
    assert isinstance(first, JobState)
    assert (first.id, first.status) == (running.id, JobStatus.RUNNING)
    backends.attempts.finish(running.id, 1, JobStatus.SUCCEEDED)
    while not (isinstance(one := next(changes), JobState) and one.status is JobStatus.SUCCEEDED):
        pass
    backends.store.delete(running.id)
    while isinstance(one := next(changes), JobState):
        pass
    assert one == DeletedJob(id=running.id)

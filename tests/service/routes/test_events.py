"""Events over HTTP: pages of JSON, and server-sent events."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from jobs.backends import Backends
from jobs.schemas.events import AnyJobEvent
from jobs.schemas.job import Job
from jobs.schemas.status import JobStatus
from relora_core.events import Evaluated, Warned
from service.routes import events as events_route
from tests.fixtures.reports import step_finished

STREAM = {"Accept": "text/event-stream"}
Report = Callable[..., None]


def frames(response: httpx.Response) -> Iterator[dict[str, str]]:
    """The frames of a stream as their fields; a comment has the name ''."""
    frame: dict[str, str] = {}
    for line in response.iter_lines():
        if line:
            name, _, value = line.partition(": ")
            frame[name] = value
        elif frame:
            yield frame
            frame = {}


def ids(page: dict[str, Any]) -> list[int]:
    return [event["id"] for event in page["items"]]


def test_events_come_in_pages(http: httpx.Client, running: Job) -> None:
    path = f"/v1/jobs/{running.id}/events"
    first = http.get(path, params={"limit": 3}).json()
    second = http.get(path, params={"limit": 3, "cursor": first["next"]}).json()
    assert (ids(first), ids(second)) == ([1, 2, 3], [4])
    assert second["next"] is None
    types = [event["type"] for event in first["items"] + second["items"]]
    assert types == ["job.queued", "job.claimed", "job.started", "train.step"]
    assert second["items"][0]["attempt"] == 1


def test_a_cursor_wins_over_an_id(http: httpx.Client, running: Job) -> None:
    query: dict[str, str | int] = {"cursor": "3", "after": 1}
    assert ids(http.get(f"/v1/jobs/{running.id}/events", params=query).json()) == [4]


def test_events_are_chosen_by_type(http: httpx.Client, running: Job) -> None:
    query = {"type": ["train.step", "job.queued"]}
    assert ids(http.get(f"/v1/jobs/{running.id}/events", params=query).json()) == [1, 4]


def test_an_unknown_type_is_an_error_that_names_the_known(http: httpx.Client, job: Job) -> None:
    response = http.get(f"/v1/jobs/{job.id}/events", params={"type": "weather"})
    assert response.status_code == 422
    (error,) = response.json()["errors"]
    assert error["path"] == "type"
    assert "there are job.action_requested, job.cancelled" in error["message"]


def test_a_loss_that_is_not_finite_is_told_as_it_is(
    http: httpx.Client, running: Job, report: Report
) -> None:
    report(running, step_finished(2, loss=float("nan")))
    page = http.get(f"/v1/jobs/{running.id}/events", params={"after": 4}).json()
    assert page["items"][0]["loss"] == "NaN"


def test_a_stream_tells_all_that_was_then_what_happens_and_ends_with_the_job(
    http: httpx.Client, backends: Backends, running: Job, report: Report
) -> None:
    with http.stream("GET", f"/v1/jobs/{running.id}/events", headers=STREAM) as response:
        assert response.headers["Content-Type"].startswith("text/event-stream")
        assert response.headers["Cache-Control"] == "no-cache"
        told = frames(response)
        assert next(told) == {"retry": "2000"}
        assert [next(told)["id"] for _ in range(4)] == ["1", "2", "3", "4"]
        report(running, step_finished(2))
        step = next(told)
        assert (step["id"], step["event"]) == ("5", "train.step")
        assert json.loads(step["data"]).items() >= {"id": 5, "attempt": 1, "step": 2}.items()
        backends.attempts.finish(running.id, 1, JobStatus.SUCCEEDED)
        assert [frame["event"] for frame in told] == ["job.succeeded"]


def test_a_stream_resumes_after_the_last_event_that_was_seen(
    http: httpx.Client, backends: Backends, running: Job
) -> None:
    backends.attempts.finish(running.id, 1, JobStatus.SUCCEEDED)
    headers = {**STREAM, "Last-Event-ID": "3"}
    with http.stream("GET", f"/v1/jobs/{running.id}/events?after=1", headers=headers) as response:
        told = [frame["id"] for frame in frames(response) if "id" in frame]
    assert told == ["4", "5"]


def test_a_stream_of_some_types_still_ends_with_the_job(
    http: httpx.Client, backends: Backends, running: Job
) -> None:
    backends.attempts.finish(running.id, 1, JobStatus.SUCCEEDED)
    path = f"/v1/jobs/{running.id}/events?type=train.step"
    with http.stream("GET", path, headers=STREAM) as response:
        assert [frame["event"] for frame in frames(response) if "id" in frame] == ["train.step"]


def test_who_has_seen_the_last_of_the_chosen_types_is_told_not_to_come_back(
    http: httpx.Client, backends: Backends, running: Job
) -> None:
    backends.attempts.finish(running.id, 1, JobStatus.SUCCEEDED)
    headers = {**STREAM, "Last-Event-ID": "4"}
    path = f"/v1/jobs/{running.id}/events?type=train.step"
    assert http.get(path, headers=headers).status_code == 204


def test_a_listener_that_takes_nothing_is_let_go_and_the_others_hear_on(
    url: str,
    http: httpx.Client,
    backends: Backends,
    running: Job,
    report: Report,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(events_route, "STALLED_SECONDS", 0.2)
    caplog.set_level("INFO", logger=events_route.__name__)
    long = Warned(code="long", message="x" * 100_000)
    report(running, *[long] * 200)
    path = f"/v1/jobs/{running.id}/events"
    with httpx.Client(base_url=url) as stalled, stalled.stream("GET", path, headers=STREAM):
        give_up_at = time.monotonic() + 20
        while "is let go" not in caplog.text and time.monotonic() < give_up_at:
            time.sleep(0.05)
        assert "is let go" in caplog.text
        backends.attempts.finish(running.id, 1, JobStatus.SUCCEEDED)
        headers = {**STREAM, "Last-Event-ID": "203"}
        with http.stream("GET", path, headers=headers) as response:
            assert [f["id"] for f in frames(response) if "id" in f] == ["204", "205"]


def test_who_has_seen_the_end_is_told_not_to_come_back(
    http: httpx.Client, backends: Backends, running: Job
) -> None:
    backends.attempts.finish(running.id, 1, JobStatus.SUCCEEDED)
    headers = {**STREAM, "Last-Event-ID": "5"}
    assert http.get(f"/v1/jobs/{running.id}/events", headers=headers).status_code == 204


def test_a_stream_of_no_job_is_not_found(http: httpx.Client) -> None:
    response = http.get("/v1/jobs/job_none/events", headers=STREAM)
    assert (response.status_code, response.json()["code"]) == (404, "job_not_found")


def test_a_quiet_stream_is_kept_open_by_comments(
    http: httpx.Client, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events_route, "QUIET_SECONDS", 0.05)
    headers = {**STREAM, "Last-Event-ID": "1"}
    with http.stream("GET", f"/v1/jobs/{job.id}/events", headers=headers) as response:
        told = frames(response)
        assert next(told) == {"retry": "2000"}
        assert next(told) == {"": "ping"}


def test_many_readers_see_the_same_events_whenever_they_came(
    url: str, backends: Backends, running: Job, report: Report
) -> None:
    seen: list[list[int]] = []

    def read(after: int) -> None:
        headers = {**STREAM, "Last-Event-ID": str(after)}
        with (
            httpx.Client(base_url=url, timeout=20) as http,
            http.stream("GET", f"/v1/jobs/{running.id}/events", headers=headers) as response,
        ):
            seen.append([int(frame["id"]) for frame in frames(response) if "id" in frame])

    readers = [threading.Thread(target=read, args=(after,)) for after in (0, 4, 2, 0, 4)]
    for first, reader in enumerate(readers):
        reader.start()
        report(running, *many(20), first=2 + 20 * first)
    backends.attempts.finish(running.id, 1, JobStatus.SUCCEEDED)
    for reader in readers:
        reader.join()
    assert sorted(map(len, seen)) == [101, 101, 103, 105, 105]
    assert all(numbers == list(range(numbers[0], 106)) for numbers in seen)


def many(count: int) -> list[AnyJobEvent]:
    return [Evaluated(step=n, loss=4.0, perplexity=54.6, tokens=1000) for n in range(count)]


def test_the_states_of_the_jobs_are_streamed(
    http: httpx.Client, backends: Backends, running: Job, report: Report
) -> None:
    with http.stream("GET", "/v1/events", params={"id_prefix": running.id[:12]}) as response:
        assert response.headers["Content-Type"].startswith("text/event-stream")
        stream = (frame for frame in frames(response) if frame.get("event"))
        first = json.loads(next(stream)["data"])
        assert (first["id"], first["progress"]["step"]) == (running.id, 1)
        report(running, step_finished(2))
        while json.loads(next(stream)["data"])["progress"]["step"] != 2:
            pass
        backends.attempts.finish(running.id, 1, JobStatus.SUCCEEDED)
        for frame in stream:
            if json.loads(frame["data"])["status"] == "succeeded":
                break
    headers = {"Last-Event-ID": frame["id"]}
    with http.stream("GET", "/v1/events", headers=headers) as response:
        again = next(frame for frame in frames(response) if frame.get("event"))
        assert json.loads(again["data"])["status"] == "succeeded"


@pytest.mark.parametrize("last", [0, 2**53 - 1])
def test_a_stream_of_states_begins_after_any_id(http: httpx.Client, job: Job, last: int) -> None:
    with http.stream("GET", "/v1/events", headers={"Last-Event-ID": str(last)}) as response:
        frame = next(frame for frame in frames(response) if frame.get("event"))
        assert json.loads(frame["data"])["id"] == job.id

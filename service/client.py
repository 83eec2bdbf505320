"""The service from Python, with the models that the service itself speaks."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
from pydantic import ValidationError

from jobs.events import AnyJobEvent, job_event_adapter
from jobs.models import Job, JobSpec, Progress
from jobs.status import JobStatus
from relora_core.files import sha256
from service.responses import (
    LAST_EVENTS,
    ArtifactPage,
    EventPage,
    FieldProblem,
    JobPage,
    Problem,
    StoredArtifact,
)

CHUNK_BYTES = 1 << 20
RECONNECT_SECONDS = 1.0
PATIENCE_SECONDS = 300.0  # without a word from the service
GATEWAY_ERRORS = frozenset({502, 503, 504})
STREAM_TIMEOUT = httpx.Timeout(10.0, read=45.0)  # the server breaks its silence every 15 s


@dataclass
class ApiError(Exception):
    """The service said no; `code` is stable, `errors` names the fields to change."""

    status: int
    code: str
    message: str
    errors: list[FieldProblem] = field(default_factory=list)

    def __str__(self) -> str:
        return self.message


class Unreachable(Exception):
    """Nobody answers at the address of the service."""


class CorruptDownload(Exception):
    """What arrived is not what the service says it stored."""


class Client:
    """Close it, or use it in a `with`. Its methods raise `ApiError` and `Unreachable`."""

    def __init__(self, base_url: str, *, timeout_seconds: float = 30.0) -> None:
        self._http = httpx.Client(base_url=base_url, timeout=timeout_seconds)
        self.jobs = Jobs(self._http)

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class Jobs:
    """What can be done with jobs: one method for each route below /v1/jobs."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def create(self, spec: JobSpec | Mapping[str, Any]) -> Job:
        """Submit a job. A mapping goes as it is: the service says what is wrong with it."""
        document = spec.model_dump(mode="json") if isinstance(spec, JobSpec) else dict(spec)
        return Job.model_validate_json(self._send("POST", "/v1/jobs", json=document))

    def get(self, job_id: str) -> Job:
        return Job.model_validate_json(self._send("GET", f"/v1/jobs/{job_id}"))

    def list(
        self, *, status: JobStatus | None = None, limit: int = 50, before: str | None = None
    ) -> JobPage:
        query = {"status": status, "limit": limit, "cursor": before}
        return JobPage.model_validate_json(self._send("GET", "/v1/jobs", query=query))

    def progress(self, job_id: str) -> Progress:
        return Progress.model_validate_json(self._send("GET", f"/v1/jobs/{job_id}/progress"))

    def cancel(self, job_id: str) -> Job:
        return Job.model_validate_json(self._send("POST", f"/v1/jobs/{job_id}/cancel"))

    def pause(self, job_id: str) -> Job:
        return Job.model_validate_json(self._send("POST", f"/v1/jobs/{job_id}/pause"))

    def resume(self, job_id: str) -> Job:
        return Job.model_validate_json(self._send("POST", f"/v1/jobs/{job_id}/resume"))

    def events(self, job_id: str, *, after: int = 0) -> Iterator[AnyJobEvent]:
        """The events up to now, page by page."""
        position: str | None = str(after)
        while position is not None:
            body = self._send("GET", f"/v1/jobs/{job_id}/events", query={"cursor": position})
            page = EventPage.model_validate_json(body)
            yield from page.items
            position = page.next

    def stream(self, job_id: str, *, after: int = 0) -> Iterator[AnyJobEvent]:
        """The events as they happen, to the job's last.

        When the line is cut it connects again, for `PATIENCE_SECONDS`, and goes on where it was.
        """
        self.get(job_id)  # at the start, a service that does not answer is an error
        last_heard = time.monotonic()
        while True:
            try:
                with self._open_stream(job_id, after) as response:
                    if response.status_code == 204:  # the job is over, and all is told
                        return
                    for event in _read_events(response):
                        last_heard, after = time.monotonic(), event.id or after
                        yield event
                        if isinstance(event, LAST_EVENTS):
                            return
            except Unreachable:
                if time.monotonic() - last_heard > PATIENCE_SECONDS:
                    raise
            time.sleep(RECONNECT_SECONDS)

    def artifacts(self, job_id: str) -> Sequence[StoredArtifact]:
        files: list[StoredArtifact] = []
        position: str | None = ""
        while position is not None:
            body = self._send("GET", f"/v1/jobs/{job_id}/artifacts", query={"cursor": position})
            page = ArtifactPage.model_validate_json(body)
            files += page.items
            position = page.next
        return files

    def download(self, job_id: str, directory: Path, *, prefix: str = "") -> Sequence[Path]:
        """Fetch the files whose path starts with `prefix`; each appears whole and verified.

        A file that is already there is kept. Raises `CorruptDownload`.
        """
        files = []
        for artifact in self.artifacts(job_id):
            if artifact.path.startswith(prefix):
                file = directory / artifact.path
                if not file.resolve().is_relative_to(directory.resolve()):
                    raise CorruptDownload(f"{artifact.path!r} would be outside of {directory}")
                if not (file.is_file() and sha256(file) == artifact.sha256):
                    self._fetch(artifact, file)
                files.append(file)
        return files

    def _fetch(self, artifact: StoredArtifact, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_name(f".{file.name}.part")
        with (
            _reachable(self._http),
            self._http.stream("GET", artifact.url, follow_redirects=True) as response,
            part.open("wb") as output,
        ):
            _raise_for_problem(response)
            for chunk in response.iter_bytes(CHUNK_BYTES):
                output.write(chunk)
        if sha256(part) != artifact.sha256:
            part.unlink()
            raise CorruptDownload(f"{artifact.path} arrived damaged; try again")
        part.replace(file)

    @contextmanager
    def _open_stream(self, job_id: str, after: int) -> Iterator[httpx.Response]:
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(after)}
        with (
            _reachable(self._http),
            self._http.stream(
                "GET", f"/v1/jobs/{job_id}/events", headers=headers, timeout=STREAM_TIMEOUT
            ) as response,
        ):
            _raise_for_problem(response)
            yield response

    def _send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int | None] | None = None,
        json: Mapping[str, Any] | None = None,
    ) -> bytes:
        given = {key: value for key, value in (query or {}).items() if value is not None}
        with _reachable(self._http):
            response = self._http.request(method, path, params=given, json=json)
            _raise_for_problem(response)
        return response.content


@contextmanager
def _reachable(http: httpx.Client) -> Iterator[None]:
    try:
        yield
    except httpx.TransportError as error:
        raise Unreachable(f"{http.base_url} does not answer: {error}") from error


def _raise_for_problem(response: httpx.Response) -> None:
    if response.status_code < 400:
        return
    body = response.read()
    if response.status_code in GATEWAY_ERRORS:
        raise Unreachable(f"{response.url.host} answers {response.status_code}")
    try:
        problem = Problem.model_validate_json(body)
    except ValidationError:  # not from the service: a proxy, or another server
        text = f"{response.url} answers {response.status_code} {response.reason_phrase}"
        raise ApiError(response.status_code, "http_error", text) from None
    raise ApiError(problem.status, problem.code, problem.detail, problem.errors or [])


def _read_events(response: httpx.Response) -> Iterator[AnyJobEvent]:
    """The events of a stream; each is one `data` line, as the service writes them."""
    for line in response.iter_lines():
        if line.startswith("data: "):
            yield job_event_adapter.validate_json(line.removeprefix("data: "))

"""Jobs: the methods for the routes below /v1/jobs."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from jobs.schemas.artifacts import ArtifactKind, CheckpointEntry
from jobs.schemas.events import AnyJobEvent, job_event_adapter
from jobs.schemas.job import Job, JobChanges, JobSpec, JobState, Progress
from jobs.schemas.metrics import Metrics, MetricsOfJobs
from jobs.schemas.profiles import ProfileRequest
from jobs.schemas.status import FINAL, JobStatus
from relora_core.estimate import UTILIZATION
from service.client import download, sse
from service.client.calls import AnyTransport, blocking_endpoint, endpoint, iterable_endpoint
from service.client.download import CONNECTIONS, Download
from service.client.generations import Generations
from service.client.requests import (
    LONGEST_WAIT_SECONDS,
    Listing,
    Query,
    Request,
    RequestSequence,
    changes_of,
    idempotency_header,
    json_body,
    model,
    nothing,
    text,
    url_path,
)
from service.client.sse import SseEvent, SseStream
from service.client.transport import Transport
from service.schemas.pages import Page
from service.schemas.responses import (
    LAST_EVENTS,
    DeletedJob,
    EventPage,
    JobEstimate,
    StoredArtifact,
    SubmittedJob,
)

Spec = JobSpec | Mapping[str, Any]
LAST_TYPES = frozenset(event.model_fields["type"].default for event in LAST_EVENTS)
STATES: dict[str, type[JobState | DeletedJob]] = {
    "job.changed": JobState,
    "job.deleted": DeletedJob,
}


class Jobs(Generations[AnyTransport]):
    @endpoint
    def create(self, spec: Spec) -> Request[SubmittedJob]:
        """Submit a job. A mapping is sent as it is, and the service reports its errors."""
        return Request(
            "POST",
            url_path("jobs"),
            model(SubmittedJob),
            json=json_body(spec),
            headers=idempotency_header(),
        )

    @endpoint
    def estimate(
        self, spec: Spec, *, gpu: str | None = None, utilization: float = UTILIZATION
    ) -> Request[JobEstimate]:
        """Check a spec as `create` does, and estimate what it would need. Nothing is queued."""
        query: Query = {"gpu": gpu, "utilization": utilization}
        return Request(
            "POST",
            url_path("jobs", "estimate"),
            model(JobEstimate),
            json=json_body(spec),
            query=query,
        )

    @endpoint
    def get(self, job_id: str) -> Request[Job]:
        return Request("GET", url_path("jobs", job_id), model(Job))

    @iterable_endpoint
    def list(  # noqa: PLR0913 # one parameter for each filter
        self,
        *,
        status: JobStatus | Iterable[JobStatus] = (),
        labels: Mapping[str, str] | None = None,
        method: str | None = None,
        id_prefix: str | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        limit: int | None = None,
    ) -> Listing[Job]:
        """Iterate over the jobs, the newest first: all pages, or only `limit` jobs."""
        query = {
            "status": _several(status),
            **_labels(labels),
            "method": method,
            "id_prefix": id_prefix,
            "created_after": created_after,
            "created_before": created_before,
        }
        return Listing(url_path("jobs"), model(Page[Job]), query=query, limit=limit)

    @endpoint
    def change(self, job_id: str, new: JobChanges | Mapping[str, Any]) -> Request[Job]:
        """Change the name or the labels of a job, or its priority while it is queued."""
        return Request("PATCH", url_path("jobs", job_id), model(Job), json=changes_of(new))

    @endpoint
    def cancel(self, job_id: str) -> Request[Job]:
        """Ask the job to save a checkpoint and end."""
        return Request("POST", url_path("jobs", job_id, "cancel"), model(Job))

    @endpoint
    def pause(self, job_id: str) -> Request[Job]:
        """Ask the job to save a checkpoint and stop until it is resumed."""
        return Request("POST", url_path("jobs", job_id, "pause"), model(Job))

    @endpoint
    def profile(self, job_id: str, *, steps: int = 5) -> Request[ProfileRequest]:
        """Ask a running job for a profile of its next steps, which `train.profile` reports."""
        path = url_path("jobs", job_id, "profile")
        return Request("POST", path, model(ProfileRequest), json={"steps": steps})

    @endpoint
    def resume(self, job_id: str) -> Request[Job]:
        """Put a paused job back into the queue."""
        return Request("POST", url_path("jobs", job_id, "resume"), model(Job))

    @endpoint
    def retry(self, job_id: str) -> Request[Job]:
        """Put a failed or cancelled job back into the queue."""
        return Request("POST", url_path("jobs", job_id, "retry"), model(Job))

    @endpoint
    def fork(
        self, job_id: str, *, source: str | None = None, changes: Mapping[str, Any] | None = None
    ) -> Request[Job]:
        """Queue a new job with the spec of this job and `changes` to it, a JSON merge patch.

        The new job starts from the weights in `source`, a folder of this job's files (`final`,
        `merged/step-00005000`, `checkpoints/step-00005000`). Without `source`, it starts from
        scratch.
        """
        document = {"from": source, "changes": dict(changes or {})}
        return Request(
            "POST",
            url_path("jobs", job_id, "fork"),
            model(Job),
            json=document,
            headers=idempotency_header(),
        )

    @endpoint
    def delete(self, job_id: str, *, artifacts: bool = False) -> Request[None]:
        """Delete a finished job and, with `artifacts`, also its files in the storage."""
        return Request("DELETE", url_path("jobs", job_id), nothing, query={"artifacts": artifacts})

    @endpoint
    def progress(
        self, job_id: str, *, wait: float = 0, after: int | None = None
    ) -> Request[Progress]:
        """Return the progress of the job.

        With `wait`, return when its version differs from `after`, or after `wait` seconds.
        """
        query = {"wait": wait or None, "after": after}
        path = url_path("jobs", job_id, "progress")
        return Request("GET", path, model(Progress), query=query, seconds=wait)

    @endpoint
    def wait(self, job_id: str) -> RequestSequence[Job]:
        """Wait until the job is over, and return it."""
        path, version, status = url_path("jobs", job_id, "progress"), None, JobStatus.QUEUED
        while status not in FINAL:
            query = {"wait": LONGEST_WAIT_SECONDS if version is not None else 0, "after": version}
            progress = yield Request(
                "GET", path, model(Progress), query=query, seconds=LONGEST_WAIT_SECONDS
            )
            version, status = progress.version, progress.status
        job: Job = yield Request("GET", url_path("jobs", job_id), model(Job))
        return job

    @iterable_endpoint
    def events(
        self, job_id: str, *, after: int = 0, types: Sequence[str] = ()
    ) -> Listing[AnyJobEvent]:
        """Iterate over the events of the job until now."""
        return Listing(
            url_path("jobs", job_id, "events"),
            model(EventPage),
            query={"type": types},
            cursor=str(after),
            page_size=500,
        )

    @iterable_endpoint
    def stream(
        self,
        job_id: str,
        *,
        after: int = 0,
        types: Sequence[str] = (),
        listener: sse.Listener = sse.ignore,
    ) -> SseStream[AnyJobEvent]:
        """Iterate over the events as they happen, until the last event of the job.

        If the connection breaks, try to connect again for five minutes, and resume after the last
        event received. The listener is called when the stream breaks and when it resumes.
        """
        return SseStream(
            url_path("jobs", job_id, "events"),
            read=lambda event: job_event_adapter.validate_json(event.data),
            ends_with=lambda event: event.event in LAST_TYPES,
            query={"type": types},
            after=str(after),
            listener=listener,
        )

    @iterable_endpoint
    def follow(
        self,
        *,
        labels: Mapping[str, str] | None = None,
        method: str | None = None,
        id_prefix: str | None = None,
        listener: sse.Listener = sse.ignore,
    ) -> SseStream[JobState | DeletedJob]:
        """Iterate over the changes of the project's jobs as they happen, forever.

        It begins with all jobs that are not over. If the connection breaks, it is resumed as that
        of `stream` is. A state may come twice.
        """
        return SseStream(
            url_path("events"),
            read=lambda event: STATES[event.event].model_validate_json(event.data),
            ends_with=lambda _: False,
            query={**_labels(labels), "method": method, "id_prefix": id_prefix},
            listener=listener,
        )

    @endpoint
    def metrics(
        self,
        job_id: str,
        *,
        names: Sequence[str] = (),
        max_points: int = 1000,
        from_step: int | None = None,
        to_step: int | None = None,
    ) -> Request[Metrics]:
        """Return curves of at most `max_points` points with all peaks, and the steps to mark."""
        query = _curves(names, max_points, from_step, to_step)
        return Request("GET", url_path("jobs", job_id, "metrics"), model(Metrics), query=query)

    @endpoint
    def metrics_of(
        self,
        job_ids: Sequence[str],
        *,
        names: Sequence[str] = (),
        max_points: int = 1000,
        from_step: int | None = None,
        to_step: int | None = None,
    ) -> Request[MetricsOfJobs]:
        """Return the curves of several jobs in one answer, as `metrics` does of one."""
        query = {"job": list(job_ids), **_curves(names, max_points, from_step, to_step)}
        return Request("GET", url_path("metrics"), model(MetricsOfJobs), query=query)

    @endpoint
    def metrics_csv(self, job_id: str, *, names: Sequence[str] = ()) -> Request[str]:
        """Return every point as CSV, in one row for each step."""
        query = {"names": ",".join(names) or None}
        return Request("GET", url_path("jobs", job_id, "metrics.csv"), text, query=query)

    @endpoint
    def logs(
        self, job_id: str, *, attempt: int | None = None, tail: int | None = None
    ) -> Request[str]:
        """Return the log of an attempt's trainer, or its last `tail` lines.

        The default is the last attempt.
        """
        query = {"attempt": attempt, "tail": tail}
        return Request("GET", url_path("jobs", job_id, "logs"), text, query=query)

    @iterable_endpoint
    def stream_logs(
        self,
        job_id: str,
        *,
        attempt: int | None = None,
        tail: int | None = None,
        listener: sse.Listener = sse.ignore,
    ) -> SseStream[str]:
        """Iterate over new lines of the log until the attempt ends.

        Each item has one or more lines. The default is the last attempt.
        """
        return SseStream(
            url_path("jobs", job_id, "logs"),
            read=_log_lines,
            ends_with=lambda event: event.event == "end",
            query={"attempt": attempt, "tail": tail},
            listener=listener,
        )

    @iterable_endpoint
    def checkpoints(self, job_id: str) -> Listing[CheckpointEntry]:
        """Iterate over the checkpoints and merged models of the job, the newest first."""
        return Listing(url_path("jobs", job_id, "checkpoints"), model(Page[CheckpointEntry]))

    @iterable_endpoint
    def artifacts(
        self,
        job_id: str,
        *,
        kind: ArtifactKind | None = None,
        step: int | None = None,
        prefix: str = "",
    ) -> Listing[StoredArtifact]:
        """Iterate over the files of the job, sorted by path."""
        return Listing(
            url_path("jobs", job_id, "artifacts"),
            model(Page[StoredArtifact]),
            query={"kind": kind, "step": step, "prefix": prefix or None},
            page_size=1000,
        )

    @blocking_endpoint
    def download(
        self,
        transport: Transport,
        job_id: str,
        directory: Path | str,
        *,
        prefix: str = "",
        connections: int = CONNECTIONS,
        listener: download.Listener = download.ignore,
    ) -> Sequence[Path]:
        """Download the files whose path starts with `prefix`, and verify each by its sha256.

        Several connections fetch pieces of a file at the same time. A file appears in the
        directory only when it is complete. A file that is there already is kept, and an
        interrupted download continues. Raise `CorruptDownload` if the content is wrong.
        """
        files = tuple(Jobs(transport).artifacts(job_id, prefix=prefix))
        return Download(transport, Path(directory), connections, listener).fetch(files)


def _several(status: JobStatus | Iterable[JobStatus]) -> Sequence[str]:
    return [status] if isinstance(status, JobStatus) else [*status]


def _log_lines(event: SseEvent) -> str | None:
    return None if event.event == "end" else event.data + "\n"


def _labels(labels: Mapping[str, str] | None) -> Query:
    return {"label": [f"{key}={value}" for key, value in (labels or {}).items()]}


def _curves(
    names: Sequence[str], max_points: int, from_step: int | None, to_step: int | None
) -> Query:
    return {
        "names": ",".join(names) or None,
        "max_points": max_points,
        "from_step": from_step,
        "to_step": to_step,
    }

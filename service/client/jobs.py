"""Jobs: one method for each route below /v1/jobs."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from jobs.schemas.artifacts import ArtifactKind, CheckpointEntry
from jobs.schemas.events import AnyJobEvent, job_event_adapter
from jobs.schemas.generations import OVER, Generation, NewGeneration
from jobs.schemas.job import Job, JobChanges, JobSpec, Progress
from jobs.schemas.metrics import Metrics
from jobs.schemas.status import FINAL, JobStatus
from relora_core.estimate import UTILIZATION
from service.client import download, feed
from service.client.calls import AnyTransport, Group, answered, iterated, threaded
from service.client.download import CONNECTIONS, Download
from service.client.feed import Feed, Frame
from service.client.requests import (
    Listing,
    Query,
    Request,
    Steps,
    at,
    body,
    changes_of,
    model,
    nothing,
    once,
    text,
)
from service.client.transport import Transport
from service.schemas.pages import Page
from service.schemas.responses import (
    LAST_EVENTS,
    EventPage,
    JobEstimate,
    StoredArtifact,
    SubmittedJob,
)

Spec = JobSpec | Mapping[str, Any]
LAST_TYPES = frozenset(event.model_fields["type"].default for event in LAST_EVENTS)
LONGEST_WAIT_SECONDS = 30


class Jobs(Group[AnyTransport]):
    @answered
    def create(self, spec: Spec) -> Request[SubmittedJob]:
        """Submit a job. A mapping goes as it is: the service says what is wrong with it."""
        return Request("POST", at("jobs"), model(SubmittedJob), json=body(spec), headers=once())

    @answered
    def estimate(
        self, spec: Spec, *, gpu: str | None = None, utilization: float = UTILIZATION
    ) -> Request[JobEstimate]:
        """Check a spec as `create` does, and say what it would cost. Nothing is queued."""
        query: Query = {"gpu": gpu, "utilization": utilization}
        return Request(
            "POST", at("jobs", "estimate"), model(JobEstimate), json=body(spec), query=query
        )

    @answered
    def get(self, job_id: str) -> Request[Job]:
        return Request("GET", at("jobs", job_id), model(Job))

    @iterated
    def list(  # noqa: PLR0913 # what a list is narrowed by
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
        """The newest first, page after page; with `limit`, so many of them."""
        query = {
            "status": _several(status),
            "label": [f"{key}={value}" for key, value in (labels or {}).items()],
            "method": method,
            "id_prefix": id_prefix,
            "created_after": created_after,
            "created_before": created_before,
        }
        return Listing(at("jobs"), model(Page[Job]), query=query, limit=limit)

    @answered
    def change(self, job_id: str, new: JobChanges | Mapping[str, Any]) -> Request[Job]:
        """Another name or other labels; another priority while the job is queued."""
        return Request("PATCH", at("jobs", job_id), model(Job), json=changes_of(new))

    @answered
    def cancel(self, job_id: str) -> Request[Job]:
        """Ask the job to save a checkpoint and end."""
        return Request("POST", at("jobs", job_id, "cancel"), model(Job))

    @answered
    def pause(self, job_id: str) -> Request[Job]:
        """Ask the job to save a checkpoint and wait off the queue."""
        return Request("POST", at("jobs", job_id, "pause"), model(Job))

    @answered
    def resume(self, job_id: str) -> Request[Job]:
        """Put a paused job back into the queue."""
        return Request("POST", at("jobs", job_id, "resume"), model(Job))

    @answered
    def retry(self, job_id: str) -> Request[Job]:
        """Put a failed or cancelled job back into the queue."""
        return Request("POST", at("jobs", job_id, "retry"), model(Job))

    @answered
    def fork(
        self, job_id: str, *, source: str | None = None, changes: Mapping[str, Any] | None = None
    ) -> Request[Job]:
        """Queue a new job with this one's spec and `changes` to it, a JSON merge patch.

        It begins with the weights of `source`, a folder of this job's files (`final`,
        `merged/step-00005000`, `checkpoints/step-00005000`) or, without one, from the start.
        """
        document = {"from": source, "changes": dict(changes or {})}
        return Request(
            "POST", at("jobs", job_id, "fork"), model(Job), json=document, headers=once()
        )

    @answered
    def delete(self, job_id: str, *, artifacts: bool = False) -> Request[None]:
        """Delete a job that is over; with `artifacts`, its files in the storage too."""
        return Request("DELETE", at("jobs", job_id), nothing, query={"artifacts": artifacts})

    @answered
    def progress(
        self, job_id: str, *, wait: float = 0, after: int | None = None
    ) -> Request[Progress]:
        """Where the job is; with `wait`, once its version is another than `after`, or so many
        seconds have passed."""
        query = {"wait": wait or None, "after": after}
        path = at("jobs", job_id, "progress")
        return Request("GET", path, model(Progress), query=query, seconds=wait)

    @answered
    def wait(self, job_id: str) -> Steps[Job]:
        """The job, once it is over."""
        path, version, status = at("jobs", job_id, "progress"), None, JobStatus.QUEUED
        while status not in FINAL:
            query = {"wait": LONGEST_WAIT_SECONDS if version is not None else 0, "after": version}
            progress = yield Request(
                "GET", path, model(Progress), query=query, seconds=LONGEST_WAIT_SECONDS
            )
            version, status = progress.version, progress.status
        job: Job = yield Request("GET", at("jobs", job_id), model(Job))
        return job

    @iterated
    def events(
        self, job_id: str, *, after: int = 0, types: Sequence[str] = ()
    ) -> Listing[AnyJobEvent]:
        """The events up to now, page by page."""
        return Listing(
            at("jobs", job_id, "events"),
            model(EventPage),
            query={"type": types},
            cursor=str(after),
            page_size=500,
        )

    @iterated
    def stream(
        self,
        job_id: str,
        *,
        after: int = 0,
        types: Sequence[str] = (),
        listener: feed.Listener = feed.unnoticed,
    ) -> Feed[AnyJobEvent]:
        """The events as they happen, to the job's last.

        When the line is cut it connects again, for five minutes, and goes on where it was; the
        listener is told.
        """
        return Feed(
            at("jobs", job_id, "events"),
            read=lambda frame: job_event_adapter.validate_json(frame.data),
            ends_with=lambda frame: frame.event in LAST_TYPES,
            query={"type": types},
            after=str(after),
            listener=listener,
        )

    @answered
    def metrics(
        self,
        job_id: str,
        *,
        names: Sequence[str] = (),
        max_points: int = 1000,
        from_step: int | None = None,
        to_step: int | None = None,
    ) -> Request[Metrics]:
        """Curves thinned to `max_points` so that peaks stay, and what to mark on them."""
        query = {
            "names": ",".join(names) or None,
            "max_points": max_points,
            "from_step": from_step,
            "to_step": to_step,
        }
        return Request("GET", at("jobs", job_id, "metrics"), model(Metrics), query=query)

    @answered
    def metrics_csv(self, job_id: str, *, names: Sequence[str] = ()) -> Request[str]:
        """Every point, a row for each step."""
        query = {"names": ",".join(names) or None}
        return Request("GET", at("jobs", job_id, "metrics.csv"), text, query=query)

    @answered
    def logs(
        self, job_id: str, *, attempt: int | None = None, tail: int | None = None
    ) -> Request[str]:
        """What the trainer of an attempt, by default the last, printed; or its `tail` lines."""
        query = {"attempt": attempt, "tail": tail}
        return Request("GET", at("jobs", job_id, "logs"), text, query=query)

    @iterated
    def stream_logs(
        self,
        job_id: str,
        *,
        attempt: int | None = None,
        tail: int | None = None,
        listener: feed.Listener = feed.unnoticed,
    ) -> Feed[str]:
        """The same as it comes, to the end of the attempt: lines, one or many at once."""
        return Feed(
            at("jobs", job_id, "logs"),
            read=_log_lines,
            ends_with=lambda frame: frame.event == "end",
            query={"attempt": attempt, "tail": tail},
            listener=listener,
        )

    @answered
    def generate(
        self, job_id: str, new: NewGeneration | Mapping[str, Any] | None = None
    ) -> Steps[Generation]:
        """Text from a model of the job, also while it trains; once it is there, or failed."""
        seconds = LONGEST_WAIT_SECONDS
        asked: Generation = yield Request(
            "POST", at("jobs", job_id, "generate"), model(Generation), json=changes_of(new or {})
        )
        while asked.status not in OVER:
            asked = yield Request(
                "GET",
                at("jobs", job_id, "generations", asked.id),
                model(Generation),
                query={"wait": seconds},
                seconds=seconds,
            )
        return asked

    @iterated
    def generations(self, job_id: str, *, limit: int | None = None) -> Listing[Generation]:
        """The newest first."""
        path = at("jobs", job_id, "generations")
        return Listing(path, model(Page[Generation]), limit=limit)

    @iterated
    def checkpoints(self, job_id: str) -> Listing[CheckpointEntry]:
        """What the job saved, the newest first: checkpoints and merged models."""
        return Listing(at("jobs", job_id, "checkpoints"), model(Page[CheckpointEntry]))

    @iterated
    def artifacts(
        self,
        job_id: str,
        *,
        kind: ArtifactKind | None = None,
        step: int | None = None,
        prefix: str = "",
    ) -> Listing[StoredArtifact]:
        """The files that the job made, by path."""
        return Listing(
            at("jobs", job_id, "artifacts"),
            model(Page[StoredArtifact]),
            query={"kind": kind, "step": step, "prefix": prefix or None},
            page_size=1000,
        )

    @threaded
    def download(
        self,
        transport: Transport,
        job_id: str,
        directory: Path | str,
        *,
        prefix: str = "",
        connections: int = CONNECTIONS,
        listener: download.Listener = download.unnoticed,
    ) -> Sequence[Path]:
        """Fetch the files whose path starts with `prefix`; each appears whole and verified.

        Parts of files come over several connections at once. A file that is there already is
        kept, and one that is there in part goes on. Raises `CorruptDownload`.
        """
        files = tuple(Jobs(transport).artifacts(job_id, prefix=prefix))
        return Download(transport, Path(directory), connections, listener).fetch(files)


def _several(status: JobStatus | Iterable[JobStatus]) -> Sequence[str]:
    return [status] if isinstance(status, JobStatus) else [*status]


def _log_lines(frame: Frame) -> str | None:
    return None if frame.event == "end" else frame.data + "\n"

"""`relora jobs`: submit, list, show, follow, change, control and delete jobs."""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.filesize import decimal
from rich.text import Text

from jobs.schemas.job import Job
from jobs.schemas.status import JobStatus
from relora_core.counted import counted
from relora_core.events import to_line
from relora_core.workdir.files import MOST_PROFILED_STEPS
from service.cli.describe import describe, print_event
from service.cli.documents import parse_labels, read_changes, read_spec
from service.cli.follow import follow
from service.cli.session import (
    FAILED,
    INTERRUPTED,
    REFUSED,
    URL,
    AsJson,
    JobId,
    Limit,
    Url,
    connected,
    err,
    fail,
    group,
    out,
    print_all,
    print_gone,
    print_json,
    print_line,
    tell,
    warn,
)
from service.cli.tables.jobs import job_details, overview
from service.client import Client
from service.client.jobs import LAST_TYPES

jobs = group("Submit jobs, watch them, fetch what they made.")

Set = Annotated[list[str] | None, typer.Option("--set", help="Change a field: training.steps=200.")]


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        message = f"{text!r} is not a time such as 2026-01-31 or 2026-01-31T12:00:00"
        raise typer.BadParameter(message) from None


After = Annotated[
    datetime | None,
    typer.Option(
        parser=_moment, metavar="TIME", help="At this time or later: 2026-01-31T12:00:00."
    ),
]
Before = Annotated[
    datetime | None,
    typer.Option(parser=_moment, metavar="TIME", help="Before this time: 2026-02-01."),
]


@jobs.command()
def submit(
    spec: Annotated[Path, typer.Argument(help="The job spec, YAML or JSON.")],
    *,
    follow_: Annotated[
        bool, typer.Option("--follow", "-f", help="Watch it until it is over.")
    ] = False,
    url: Url = URL,
    json: AsJson = False,
) -> None:
    """Submit a job."""
    document = read_spec(spec)
    with connected(url) as client:
        job = client.jobs.create(document)
        warn(job.warnings)
        _made(client, job, follow_=follow_, json=json)


@jobs.command("list")
def list_jobs(  # noqa: PLR0913 # one parameter for each option
    *,
    status: Annotated[list[JobStatus] | None, typer.Option(help="Only these.")] = None,
    label: Annotated[list[str] | None, typer.Option(help="KEY=VALUE; all of these.")] = None,
    method: Annotated[str | None, typer.Option(help="Only of this method.")] = None,
    created_after: After = None,
    created_before: Before = None,
    limit: Limit = 20,
    url: Url = URL,
    json: AsJson = False,
) -> None:
    """List the jobs, the newest first."""
    labels = parse_labels(label or ())
    with connected(url) as client:
        found = client.jobs.list(
            status=status or (),
            labels=labels,
            method=method,
            created_after=created_after and created_after.astimezone(),
            created_before=created_before and created_before.astimezone(),
            limit=limit,
        )
        print_all(found, overview, json=json)


@jobs.command()
def get(job_id: JobId, *, url: Url = URL, json: AsJson = False) -> None:
    """Show a job."""
    with connected(url) as client:
        _show(client.jobs.get(job_id), json=json)


@jobs.command("follow")
def follow_job(job_id: JobId, *, url: Url = URL, json: AsJson = False) -> None:
    """Watch a job until it is over."""
    with connected(url) as client:
        _follow(client, job_id, json=json)


@jobs.command()
def wait(job_id: JobId, *, url: Url = URL, json: AsJson = False) -> None:
    """Wait silently until a job is over, and show how it ended."""
    with connected(url) as client:
        for _ in client.jobs.stream(job_id, types=sorted(LAST_TYPES), listener=tell):
            pass
        job = client.jobs.get(job_id)
    _show(job, json=json)
    _end_as(job)


@jobs.command()
def events(
    job_id: JobId,
    *,
    after: Annotated[int, typer.Option(min=0, help="Only events with a greater id.")] = 0,
    type_: Annotated[
        list[str] | None, typer.Option("--type", help="Only these: train.merge, job.failed, ...")
    ] = None,
    url: Url = URL,
    json: AsJson = False,
) -> None:
    """Print what happened to a job so far."""
    with connected(url) as client:
        for event in client.jobs.events(job_id, after=after, types=type_ or ()):
            if json:
                typer.echo(to_line(event))
            else:
                print_event(out, describe(event))


@jobs.command()
def change(  # noqa: PLR0913 # one parameter for each option
    job_id: JobId,
    *,
    name: Annotated[str | None, typer.Option(help="Another name.")] = None,
    label: Annotated[
        list[str] | None, typer.Option(help="KEY=VALUE; they replace all that it has.")
    ] = None,
    no_labels: Annotated[bool, typer.Option("--no-labels", help="No label any more.")] = False,
    priority: Annotated[
        int | None, typer.Option(help="-100 to 100, the highest goes first; while it is queued.")
    ] = None,
    url: Url = URL,
    json: AsJson = False,
) -> None:
    """Give a job another name, other labels, another place in the queue."""
    labels = {} if no_labels else None if label is None else parse_labels(label)
    asked: dict[str, Any] = {"name": name, "labels": labels, "priority": priority}
    changes = {field: value for field, value in asked.items() if value is not None}
    if not changes:
        fail("nothing to change: give --name, --label, --no-labels or --priority", REFUSED)
    with connected(url) as client:
        _show(client.jobs.change(job_id, changes), json=json)


@jobs.command()
def cancel(job_id: JobId, *, url: Url = URL, json: AsJson = False) -> None:
    """Ask a job to save a checkpoint and end."""
    with connected(url) as client:
        _show(client.jobs.cancel(job_id), json=json)


@jobs.command()
def pause(job_id: JobId, *, url: Url = URL, json: AsJson = False) -> None:
    """Ask a job to save a checkpoint and stop until it is resumed."""
    with connected(url) as client:
        _show(client.jobs.pause(job_id), json=json)


@jobs.command()
def profile(
    job_id: JobId,
    *,
    steps: Annotated[
        int, typer.Option(min=1, max=MOST_PROFILED_STEPS, help="How many of the next steps.")
    ] = 5,
    url: Url = URL,
    json: AsJson = False,
) -> None:
    """Ask a running job for a trace of its next steps."""
    with connected(url) as client:
        request = client.jobs.profile(job_id, steps=steps)
        if json:
            print_json(request)
            return
        out.print(f"asked for a profile of {counted(request.steps, 'step')}; it is complete when")
        out.print(f"  relora jobs events {job_id} --type train.profile", soft_wrap=True)
        out.print("shows it")


@jobs.command()
def resume(job_id: JobId, *, url: Url = URL, json: AsJson = False) -> None:
    """Put a paused job back into the queue."""
    with connected(url) as client:
        _show(client.jobs.resume(job_id), json=json)


@jobs.command()
def retry(job_id: JobId, *, url: Url = URL, json: AsJson = False) -> None:
    """Put a failed or cancelled job back into the queue."""
    with connected(url) as client:
        _show(client.jobs.retry(job_id), json=json)


@jobs.command()
def fork(  # noqa: PLR0913 # one parameter for each option
    job_id: JobId,
    *,
    source: Annotated[
        str | None,
        typer.Option("--from", help="Weights to begin with: final, merged/step-00005000, ..."),
    ] = None,
    set_: Set = None,
    changes: Annotated[Path | None, typer.Option(help="A file with the changes.")] = None,
    follow_: Annotated[
        bool, typer.Option("--follow", "-f", help="Watch it until it is over.")
    ] = False,
    url: Url = URL,
    json: AsJson = False,
) -> None:
    """Submit a new job with the spec of another and changes to it."""
    wanted = read_changes(changes, set_ or ())
    with connected(url) as client:
        job = client.jobs.fork(job_id, source=source, changes=wanted)
        _made(client, job, follow_=follow_, json=json)


@jobs.command()
def delete(
    job_id: JobId,
    *,
    artifacts: Annotated[bool, typer.Option("--artifacts", help="Its files, too.")] = False,
    url: Url = URL,
    json: AsJson = False,
) -> None:
    """Delete a job that is over. Its files stay in the storage, except with --artifacts."""
    with connected(url) as client:
        kept = [] if artifacts else list(client.jobs.artifacts(job_id))
        client.jobs.delete(job_id, artifacts=artifacts)
    print_gone(job_id, json=json)
    if kept:
        size = decimal(sum(file.size for file in kept))
        err.print(
            f"left in the storage: {counted(len(kept), 'file')} ({size}). An operator's `relora gc "
            "--deleted-jobs` removes them; `delete --artifacts` deletes a job with its files",
            soft_wrap=True,
        )


def _made(client: Client, job: Job, *, follow_: bool, json: bool) -> None:
    if not json:
        out.print(Text.assemble("submitted ", (job.id, "bold")))
        if not follow_:
            _suggest(f"relora jobs follow {job.id}", "watch it")
    elif follow_:
        print_line(job)
    else:
        print_json(job)
    if follow_:
        _follow(client, job.id, json=json)


def _follow(client: Client, job_id: str, *, json: bool) -> None:
    if json:
        for event in client.jobs.stream(job_id, listener=tell):
            typer.echo(to_line(event))
        job = client.jobs.get(job_id)
    else:
        try:
            job = follow(client, job_id, out, err)
        except KeyboardInterrupt:
            out.print("the job goes on")
            _suggest(f"relora jobs follow {job_id}", "watch it again")
            raise typer.Exit(INTERRUPTED) from None
        _suggest_after(job)
    _end_as(job)


def _suggest_after(job: Job) -> None:
    match job.status:
        case JobStatus.SUCCEEDED:
            _suggest(f"relora jobs download {job.id} --to my-model", "fetch the model")
            if job.spec.task == "causal_lm":
                _suggest(f'relora jobs generate {job.id} "Once upon a time"', "try it")
        case JobStatus.FAILED:
            _suggest(f"relora jobs logs {job.id}", "what the trainer printed")
            _suggest(f"relora jobs retry {job.id}", "queue it again")


def _suggest(command: str, purpose: str) -> None:
    """Print a command to continue with."""
    out.print(Text.assemble("  ", command, (f"   # {purpose}", "dim")), soft_wrap=True)


def _end_as(job: Job) -> None:
    if job.status is not JobStatus.SUCCEEDED:
        raise typer.Exit(FAILED)


def _show(job: Job, *, json: bool) -> None:
    print_json(job) if json else out.print(job_details(job))

"""`relora jobs download`, `files`, `checkpoints` and `logs`: the files and the log of a job."""

from pathlib import Path
from typing import Annotated

import typer
from pydantic import BaseModel
from rich.filesize import decimal
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from jobs.schemas.artifacts import ArtifactKind
from service.cli.session import (
    FAILED,
    URL,
    AsJson,
    JobId,
    Url,
    connected,
    err,
    fail,
    out,
    print_all,
    print_line,
    tell,
)
from service.cli.tables.files import artifact_table, checkpoint_table
from service.client.download import Received

files = typer.Typer()


class Downloaded(BaseModel):
    """A line of the output of `download --json`."""

    path: str
    file: Path
    size: int
    sha256: str


class LogText(BaseModel):
    """A line of the output of `logs --json`. It has one or more lines of the log."""

    text: str


def transfer() -> Progress:
    """Return a progress bar in bytes on stderr. It is off if stderr is not a terminal."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    )


@files.command()
def download(
    job_id: JobId,
    *,
    to: Annotated[Path, typer.Option(help="The folder to put the files in.")] = Path(),
    prefix: Annotated[str, typer.Option(help="Only files below it; '' for all.")] = "final/",
    url: Url = URL,
    json: AsJson = False,
) -> None:
    """Fetch a job's files; without --prefix, the merged model of the finished run.

    An interrupted download continues where it stopped.
    """
    with connected(url) as client:
        artifacts = list(client.jobs.artifacts(job_id, prefix=prefix))
        if not artifacts:
            fail(f"Job {job_id} has no files at {prefix!r} (yet).", FAILED)
        with transfer() as progress:
            task = progress.add_task("downloading", total=sum(one.size for one in artifacts))

            def advance(received: Received) -> None:
                progress.update(task, advance=received.count, description=received.path)

            client.jobs.download(job_id, to, prefix=prefix, listener=advance)
    for one in artifacts:
        file = to / one.path
        if json:
            print_line(Downloaded(path=one.path, file=file, size=one.size, sha256=one.sha256))
        else:
            out.print(f"{file}  {decimal(one.size)}", soft_wrap=True)


@files.command("files")
def list_files(
    job_id: JobId,
    *,
    kind: Annotated[ArtifactKind | None, typer.Option(help="Only of this kind.")] = None,
    step: Annotated[int | None, typer.Option(min=0, help="Only of this step.")] = None,
    prefix: Annotated[str, typer.Option(help="Only below it: final/.")] = "",
    url: Url = URL,
    json: AsJson = False,
) -> None:
    """List a job's files, by path; `download` fetches them."""
    with connected(url) as client:
        found = client.jobs.artifacts(job_id, kind=kind, step=step, prefix=prefix)
        print_all(found, artifact_table, json=json)


@files.command()
def checkpoints(job_id: JobId, *, url: Url = URL, json: AsJson = False) -> None:
    """List what a job saved, the newest first: checkpoints and merged models."""
    with connected(url) as client:
        found = client.jobs.checkpoints(job_id)
        print_all(found, checkpoint_table, json=json)


@files.command()
def logs(
    job_id: JobId,
    *,
    attempt: Annotated[int | None, typer.Option(help="Default: the last.")] = None,
    tail: Annotated[
        int | None, typer.Option(min=0, help="Only this many of the last lines.")
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Keep printing new lines.")
    ] = False,
    url: Url = URL,
    json: AsJson = False,
) -> None:
    """Print what a job's trainer printed."""
    with connected(url) as client:
        texts = (
            client.jobs.stream_logs(job_id, attempt=attempt, tail=tail, listener=tell)
            if follow
            else iter([client.jobs.logs(job_id, attempt=attempt, tail=tail)])
        )
        for text in texts:
            print_line(LogText(text=text)) if json else typer.echo(text, nl=False)

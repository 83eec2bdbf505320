"""`relora jobs`, what a job made: its files, its log, text of its model."""

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
from rich.text import Text

from jobs.generations.models import GenerationStatus
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
    print_json,
    print_line,
    print_lines,
    show,
    tell,
)
from service.client.download import Received
from service.tables import checkpoint_table

files = typer.Typer()


class Downloaded(BaseModel):
    """A line of `download --json`."""

    path: str
    file: Path
    size: int
    sha256: str


class LogText(BaseModel):
    """A line of `logs --json`: some lines of the log."""

    text: str


def transfer() -> Progress:
    """A bar of bytes, on stderr; none where that is no terminal."""
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

    Broken off, it goes on where it was.
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


@files.command()
def checkpoints(job_id: JobId, *, url: Url = URL, json: AsJson = False) -> None:
    """List what a job saved, the newest first: checkpoints and merged models."""
    with connected(url) as client:
        found = client.jobs.checkpoints(job_id)
        print_lines(found) if json else show(checkpoint_table(list(found)))


@files.command()
def logs(  # what a log is narrowed by
    job_id: JobId,
    *,
    attempt: Annotated[int | None, typer.Option(help="Default: the last.")] = None,
    tail: Annotated[int | None, typer.Option(min=0, help="The last lines alone.")] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Go on with what comes.")] = False,
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


@files.command()
def generate(  # noqa: PLR0913 # what a generation has
    job_id: JobId,
    prompt: Annotated[str, typer.Argument(help="The beginning of a text, to go on with.")] = "",
    *,
    max_new_tokens: Annotated[int, typer.Option(min=1)] = 64,
    temperature: Annotated[float, typer.Option(min=0, help="0: the likeliest token.")] = 1.0,
    top_p: Annotated[float, typer.Option(help="Only of the likeliest of this share.")] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="The same one gives the same text.")] = 0,
    step: Annotated[int | None, typer.Option(help="Whose model; default the last.")] = None,
    url: Url = URL,
    json: AsJson = False,
) -> None:
    """Let a job's model write, also while it trains."""
    new = {
        "prompt": prompt,
        "max_new_tokens": max_new_tokens,
        "temperature": temperature,
        "top_p": top_p,
        "seed": seed,
        "step": step,
    }
    with connected(url) as client:
        done = client.jobs.generate(job_id, new)
    if json:
        print_json(done)
    elif done.result:
        out.print(Text.assemble((prompt, "bold"), done.result.text), soft_wrap=True)
    if done.status is GenerationStatus.FAILED:
        fail(done.error.message if done.error else "it failed", FAILED)

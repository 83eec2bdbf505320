"""`relora`: the service on the command line.

Exit codes: 0 done; 1 the job failed; 2 the command or the spec is wrong; 3 nobody answers.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
import yaml
from pydantic import BaseModel
from rich.console import Console
from rich.filesize import decimal
from rich.text import Text

from jobs.models import Job
from jobs.status import JobStatus
from relora_core.events import to_line
from service.client import ApiError, Client, CorruptDownload, Unreachable
from service.describe import describe
from service.follow import follow
from service.tables import overview, sheet

PIPE_WIDTH = 200  # of a table that no terminal limits
FAILED, WRONG, UNREACHABLE, INTERRUPTED = 1, 2, 3, 130

app = typer.Typer(help="Pretrain language models with ReLoRA.", no_args_is_help=True)
jobs = typer.Typer(help="Submit jobs, watch them, fetch what they made.", no_args_is_help=True)
app.add_typer(jobs, name="jobs")

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

Url = Annotated[str, typer.Option("--url", envvar="RELORA_URL", help="Address of the service.")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON, for programs.")]
JobId = Annotated[str, typer.Argument(metavar="JOB", help="The id of the job.")]
URL = "http://127.0.0.1:8000"


@app.command()
def up(
    *,
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes a free one.")] = 8000,
    data_dir: Annotated[
        Path | None, typer.Option(help="Database, storage and logs; default ~/.relora.")
    ] = None,
    worker: Annotated[bool, typer.Option(help="Run a worker, too.")] = True,
) -> None:
    """Run the whole service on this machine, until Ctrl-C."""
    from service.up import UpError, run_up  # it alone needs the embedded Valkey

    try:
        run_up(host=host, port=port, data_dir=data_dir, with_worker=worker, console=out)
    except UpError as error:
        _fail(str(error), WRONG)


@jobs.command()
def submit(
    spec: Annotated[Path, typer.Argument(help="The job spec, YAML or JSON.")],
    *,
    follow_: Annotated[bool, typer.Option("--follow", help="Watch it until it is over.")] = False,
    url: Url = URL,
    json: AsJson = False,
) -> None:
    """Submit a job."""
    document = _read_spec(spec)
    with _service(url) as client:
        job = client.jobs.create(document)
        if json and not follow_:
            _print_json(job)
            return
        out.print(Text.assemble("submitted ", (job.id, "bold")))
        if follow_:
            _follow(client, job.id)


@jobs.command("list")
def list_jobs(
    *,
    status: Annotated[JobStatus | None, typer.Option(help="Only these.")] = None,
    limit: Annotated[int, typer.Option(help="How many, the newest first.")] = 20,
    url: Url = URL,
    json: AsJson = False,
) -> None:
    """List the jobs, the newest first."""
    with _service(url) as client:
        items = list(client.jobs.list(status=status or (), limit=limit))
    if json:
        for item in items:
            _print_json(item)
    else:
        screen = out if out.is_terminal else Console(width=PIPE_WIDTH, highlight=False)
        screen.print(overview(items))


@jobs.command()
def get(job_id: JobId, *, url: Url = URL, json: AsJson = False) -> None:
    """Show a job."""
    with _service(url) as client:
        job = client.jobs.get(job_id)
    _show(job, json=json)


@jobs.command("follow")
def follow_job(job_id: JobId, *, url: Url = URL, json: AsJson = False) -> None:
    """Watch a job until it is over."""
    with _service(url) as client:
        if json:
            for event in client.jobs.stream(job_id):
                typer.echo(to_line(event))
            _exit_as(client.jobs.get(job_id))
        else:
            _follow(client, job_id)


@jobs.command()
def events(
    job_id: JobId,
    *,
    after: Annotated[int, typer.Option(help="Only events with a greater id.")] = 0,
    url: Url = URL,
    json: AsJson = False,
) -> None:
    """Print what happened to a job so far."""
    with _service(url) as client:
        for event in client.jobs.events(job_id, after=after):
            if json:
                typer.echo(to_line(event))
            else:
                out.print(describe(event), soft_wrap=True)


@jobs.command()
def cancel(job_id: JobId, *, url: Url = URL, json: AsJson = False) -> None:
    """Ask a job to save a checkpoint and end."""
    with _service(url) as client:
        _show(client.jobs.cancel(job_id), json=json)


@jobs.command()
def pause(job_id: JobId, *, url: Url = URL, json: AsJson = False) -> None:
    """Ask a job to save a checkpoint and wait off the queue."""
    with _service(url) as client:
        _show(client.jobs.pause(job_id), json=json)


@jobs.command()
def resume(job_id: JobId, *, url: Url = URL, json: AsJson = False) -> None:
    """Put a paused job back into the queue."""
    with _service(url) as client:
        _show(client.jobs.resume(job_id), json=json)


@jobs.command()
def download(
    job_id: JobId,
    *,
    to: Annotated[Path, typer.Option(help="The folder to put the files in.")] = Path(),
    prefix: Annotated[str, typer.Option(help="Only files below it; '' for all.")] = "final/",
    url: Url = URL,
    json: AsJson = False,
) -> None:
    """Fetch a job's files; without --prefix, the merged model of the finished run."""
    with _service(url) as client:
        files = client.jobs.download(job_id, to, prefix=prefix)
    if not files:
        _fail(f"Job {job_id} has no files at {prefix!r} (yet).", FAILED)
    for file in files:
        typer.echo(str(file)) if json else out.print(f"{file}  {decimal(file.stat().st_size)}")


@contextmanager
def _service(url: str) -> Iterator[Client]:
    """A client whose errors end the command with a line that says what to do."""
    try:
        with Client(url) as client:
            yield client
    except ApiError as error:
        lines = [f"{problem.path or '(the whole)'}: {problem.message}" for problem in error.errors]
        _fail("\n  ".join([error.message, *lines]), WRONG if error.status < 500 else FAILED)
    except Unreachable as error:
        _fail(
            f"{error}\n  `relora up` starts a service; --url or RELORA_URL names another.",
            UNREACHABLE,
        )
    except CorruptDownload as error:
        _fail(str(error), FAILED)


def _read_spec(file: Path) -> dict[str, Any]:
    try:
        document = yaml.safe_load(file.read_text())
    except OSError as error:
        _fail(f"cannot read {file}: {error.strerror}", WRONG)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        _fail(f"{file} is neither YAML nor JSON: {error}", WRONG)
    if not isinstance(document, dict):
        _fail(f"{file} holds no job spec: a mapping with `model`, `data` and `training`", WRONG)
    return document


def _follow(client: Client, job_id: str) -> None:
    try:
        job = follow(client, job_id, out)
    except KeyboardInterrupt:
        out.print(f"the job goes on; `relora jobs follow {job_id}` shows it again")
        raise typer.Exit(INTERRUPTED) from None
    _exit_as(job)


def _exit_as(job: Job) -> None:
    if job.status is not JobStatus.SUCCEEDED:
        raise typer.Exit(FAILED)


def _show(job: Job, *, json: bool) -> None:
    if json:
        _print_json(job)
    else:
        out.print(sheet(job))


def _print_json(model: BaseModel) -> None:
    typer.echo(model.model_dump_json(indent=2))


def _fail(message: str, code: int) -> NoReturn:
    err.print(Text.assemble(("error: ", "bold red"), message), soft_wrap=True)
    raise typer.Exit(code)


def main() -> None:
    app()


if __name__ == "__main__":
    main()

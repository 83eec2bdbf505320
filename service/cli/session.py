"""Code that all commands share: their options, their output and their exit codes."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Annotated, NoReturn, TypeVar

import typer
from pydantic import BaseModel
from rich.console import Console, RenderableType
from rich.text import Text

from relora_core.suggestions import nearest
from service.cli.follow import told_on
from service.client import ApiError, Client, CorruptDownload, InvalidConnection, Unreachable
from service.client.transport import DEFAULT_URL as URL
from service.schemas.responses import FieldProblem, FieldWarning

RETRIES = 2  # few retries of a request without an answer, because a person waits
PIPE_WIDTH = 4000  # width of a table that is not printed to a terminal
UNAUTHORIZED = 401
LAST = "@last"
RECENT = 100  # newest jobs whose names are compared with a wrong id
# Specs and changes are in a file or in `--set`, and the grid of a sweep is in options.
_TYPED = {"base.": "", "changes.": "", "grid.": "--grid "}
_WHOLE_ID = re.compile(r"job_[0-9a-z]{26}")
FAILED, REFUSED, UNREACHABLE, INTERRUPTED = 1, 2, 3, 130

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)
tell = told_on(err)  # reports that a stream broke or resumed

Url = Annotated[  # eager: `job_named` needs it
    str,
    typer.Option("--url", envvar="RELORA_URL", is_eager=True, help="Address of the service."),
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON, for programs.")]
Limit = Annotated[int, typer.Option(min=1, help="How many, the newest first.")]
Model = TypeVar("Model", bound=BaseModel)
__all__ = ["URL", "AsJson", "JobId", "Limit", "Url"]


def group(about: str) -> typer.Typer:
    return typer.Typer(help=about, no_args_is_help=True)


@contextmanager
def connected(url: str) -> Iterator[Client]:
    """Yield a client whose errors end the command with a line that says what to do.

    The API key comes from RELORA_API_KEY and not from an option, because every user of the
    machine can see a command line.
    """
    try:
        with Client(url, retries=RETRIES) as client:
            yield client
    except ApiError as error:
        hint = "\n  Set RELORA_API_KEY to your key." if error.status == UNAUTHORIZED else ""
        fail(f"{_as_typed(error)}{hint}", REFUSED if error.status < 500 else UNREACHABLE)
    except InvalidConnection as error:
        fail(str(error), REFUSED)
    except Unreachable as error:
        hint = "`relora up` starts a service; --url or RELORA_URL names another."
        fail(f"{error}\n  {hint}", UNREACHABLE)
    except CorruptDownload as error:
        fail(str(error), FAILED)


def _as_typed(error: ApiError) -> ApiError:
    """Return the error with the fields named as a person types them, not as in the body."""

    def typed(path: str) -> str:
        part, dot, rest = path.partition(".")
        return _TYPED.get(part + dot, part + dot) + rest

    problems = [FieldProblem(path=typed(one.path), message=one.message) for one in error.errors]
    return replace(error, errors=problems)


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Guard the import of modules of an extra. If it is missing, say how to install it."""
    try:
        yield
    except ModuleNotFoundError as error:
        fail(
            f"this command needs the extra {name!r} (there is no module {error.name}): "
            f"pip install -e '.[{name}]' in relora's folder",
            REFUSED,
        )


def job_named(context: typer.Context, name: str | None) -> str | None:
    """Return the id of the job that is named by its id, the beginning of it, or @last (newest).

    End the command if there is no such job, or more than one.
    """
    if name is None or _WHOLE_ID.fullmatch(name):
        return name
    with connected(context.params["url"]) as client:
        prefix = None if name == LAST else name
        found = [job.id for job in client.jobs.list(id_prefix=prefix, limit=2)]
        if not found:
            fail("There is no job yet." if name == LAST else _no_job(client, name), REFUSED)
    if name != LAST and len(found) > 1:
        fail(f"More than one job's id begins with {name!r}; give more of it.", REFUSED)
    return found[0]


def _no_job(client: Client, name: str) -> str:
    """Return the message for an unknown id. Suggest the newest job with a similar name."""
    newest = [(job.name, job.id) for job in client.jobs.list(limit=RECENT)]
    close = nearest(name, (job_name for job_name, _ in newest))
    hint = next(
        (
            f"did you mean the job {close}, {job_id}?"
            for job_name, job_id in newest
            if job_name == close
        ),
        "`relora jobs list` shows the ids.",
    )
    return f"No job's id begins with {name!r}; {hint}"


def jobs_named(context: typer.Context, names: list[str]) -> list[str]:
    return [job_id for name in names if (job_id := job_named(context, name))]


JobId = Annotated[
    str,
    typer.Argument(
        metavar="JOB", help="Its id, the beginning of it, or @last.", callback=job_named
    ),
]


def fail(message: str, code: int) -> NoReturn:
    err.print(Text.assemble(("error: ", "bold red"), message), soft_wrap=True)
    raise typer.Exit(code)


def warn(warnings: Iterable[FieldWarning]) -> None:
    """Print on stderr the warnings about a spec."""
    for one in warnings:
        text = Text.assemble(("warning: ", "yellow"), f"{one.path} {one.message}")
        err.print(text, soft_wrap=True)


def print_json(model: BaseModel) -> None:
    """Print one JSON document, the whole output of a command."""
    typer.echo(model.model_dump_json(indent=2))


def print_line(model: BaseModel) -> None:
    """Print one JSON object in a line."""
    typer.echo(model.model_dump_json())


def print_all(
    found: Iterable[Model], table: Callable[[Sequence[Model]], RenderableType], *, json: bool
) -> None:
    """Print a list: as one JSON object per line, each as soon as it is here, or as a table."""
    if json:
        for model in found:
            print_line(model)
    else:
        show(table(list(found)))


class Gone(BaseModel):
    """The output of --json for something that was deleted."""

    id: str


def print_gone(what: str, *, json: bool) -> None:
    print_json(Gone(id=what)) if json else out.print(f"deleted {what}")


def show(table: RenderableType) -> None:
    """Print a table. It is not truncated if the output is not a terminal."""
    screen = out if out.is_terminal else Console(width=PIPE_WIDTH, highlight=False)
    screen.print(table)
